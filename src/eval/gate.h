// Quality gates: requirements held against the metrics of reports.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/expression.h"
#include "eval/report.h"

namespace genflow::eval {

struct NamedReport {
  std::string stage;  // who made it; "" when unknown
  Report report;
  std::string source;  // stage and port, "quality.report"; "" when unknown
};

// Finds metrics by "STAGE.name" and "STAGE.PORT.name", and by "name" alone where only one report has it.
class MetricIndex {
 public:
  explicit MetricIndex(const std::vector<NamedReport>& reports);

  // An unknown or ambiguous name is an error with the names that could be meant.
  Result<Metric> Find(const std::string& name) const;
  // The shortest names by which Find() knows each metric, and those with its stage.
  std::vector<std::string> Names() const;

 private:
  struct Entry {
    std::string stage, source;
    Metric metric;
  };
  // "STAGE.name", or "STAGE.PORT.name" where the stage has two of it; "" where neither tells it apart.
  std::string FullName(const Entry& entry) const;
  Error Ambiguous(const std::string& name, const std::vector<const Entry*>& found) const;

  std::vector<Entry> entries_;
};

struct RequirementOutcome {
  std::string requirement;
  bool met = false;
  bool error = false;  // could not be judged: unknown metric, NaN, division by zero
  std::string detail;  // numbers, or the error with its caret; several lines
};

// The problems of all requirements, for validation before a run: "" when every one parses.
std::string CheckRequirements(const std::vector<std::string>& requirements);

// Judges every requirement, also after a failure. Text that does not parse is a requirement not met.
std::vector<RequirementOutcome> Judge(const std::vector<std::string>& requirements,
                                      const std::vector<NamedReport>& reports, double tolerance);

// Whether one of them could not be judged.
bool AnyError(const std::vector<RequirementOutcome>& outcomes);

// "2 of 3 requirements are not met:\n  ..." with the numbers behind each; "" when all are met.
std::string GateMessage(const std::vector<RequirementOutcome>& outcomes);

// A report with one row a requirement.
Report GateReport(const std::vector<RequirementOutcome>& outcomes, const std::vector<NamedReport>& reports);

}  // namespace genflow::eval
