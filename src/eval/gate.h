// Quality gates: requirements held against the metrics of reports.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "eval/expression.h"
#include "eval/paired.h"
#include "eval/report.h"

namespace genflow::eval {

// Names of metrics of baseline reports begin with it.
inline constexpr std::string_view kBaselinePrefix = "baseline.";

struct NamedReport {
  std::string stage;  // who made it; "" when unknown
  Report report;
  std::string source;     // stage and port, "quality.report"; "" when unknown
  bool baseline = false;  // what the others are compared with
  std::optional<SampleRows> samples = {};
};

// Finds metrics by "STAGE.name" and "STAGE.PORT.name", and by "name" alone where only one report has it.
// Those of baseline reports have "baseline." before all that, and win over metrics of other reports whose own
// names begin so.
class MetricIndex {
 public:
  struct Entry {
    bool baseline = false;
    std::string stage, source;
    Metric metric;
    const NamedReport* report = nullptr;
  };

  // `reports` must outlive the index.
  explicit MetricIndex(const std::vector<NamedReport>& reports);

  // An unknown or ambiguous name is an error with the names that could be meant.
  Result<Entry> Find(const std::string& name) const;
  // The shortest names by which Find() knows each metric, and those with its stage.
  std::vector<std::string> Names() const;

 private:
  // By "name", or else by "STAGE.name" and "STAGE.PORT.name", without the prefix of baselines.
  std::vector<const Entry*> Matches(std::string_view name, bool baseline) const;
  // "STAGE.name", or "STAGE.PORT.name" where the stage has two of it; "" where neither tells it apart.
  std::string FullName(const Entry& entry) const;
  Error Ambiguous(const std::string& name, const std::vector<const Entry*>& found) const;

  std::vector<Entry> entries_;
};

struct JudgeOptions {
  double tolerance = 0;          // of comparisons, see EvaluateOptions
  double confidence = 0;         // see EvaluateOptions
  bool baseline_absent = false;  // a baseline is connected, but there is none yet
};

struct RequirementOutcome {
  std::string requirement;
  bool met = false;
  bool error = false;    // could not be judged: unknown metric, NaN, division by zero
  bool skipped = false;  // met because there is no baseline to compare with yet
  std::string detail;    // numbers, or the error with its caret; several lines
  // Of each comparison, the difference of its sides and its interval: "-0.07 [-0.168, 0.028] at 95%".
  std::vector<std::string> differences;
};

// The problems of all requirements, for validation before a run: "" when every one parses.
std::string CheckRequirements(const std::vector<std::string>& requirements);

// Judges every requirement, also after a failure. Text that does not parse is a requirement not met. Metrics
// of the same samples, by id, are compared sample by sample; all others count as independent.
std::vector<RequirementOutcome> Judge(const std::vector<std::string>& requirements,
                                      const std::vector<NamedReport>& reports, const JudgeOptions& options);

// Whether one of them could not be judged.
bool AnyError(const std::vector<RequirementOutcome>& outcomes);

// "2 of 3 requirements are not met:\n  ..." with the numbers behind each; "" when all are met.
std::string GateMessage(const std::vector<RequirementOutcome>& outcomes);

// "Gate: 3 requirements, all met." and what was left out, for a gate whose requirements are all met.
std::string GateSummary(const std::vector<RequirementOutcome>& outcomes);

// A metric now and in the baseline.
struct Change {
  std::string name;  // with its stage where several reports have it
  Metric now, before;
  double difference = 0;
  double stderr_value = 0;  // of the difference; 0: unknown
  int64_t paired = 0;       // samples that both have, when compared sample by sample
};
// Every metric that a report and its baseline have, in the order of the reports. A baseline of the same stage
// goes before others.
std::vector<Change> ChangesFromBaseline(const std::vector<NamedReport>& reports);

// A report with one row a requirement, and one a metric that the baseline has too.
Report GateReport(const std::vector<RequirementOutcome>& outcomes, const std::vector<NamedReport>& reports);

}  // namespace genflow::eval
