// How a `genflow run` ended, as reports for CI systems need it: also one that never began.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "config/diagnostic.h"
#include "engine/observer.h"

namespace genflow::cli {

// Where a stage is written: in the pipeline file, or in one that it uses.
struct StagePlace {
  std::string file;
  Position at;
};

struct RunOutcome {
  std::filesystem::path file;           // of the pipeline, as given; empty: none was found
  std::string pipeline;                 // its name; empty: it could not be read
  double started = 0;                   // seconds since the Unix epoch
  double seconds = 0;                   // that the command took
  std::vector<Diagnostic> diagnostics;  // of the pipeline file
  std::optional<Error> error;           // why the run could not start, or what stopped it from outside
  // The run, where there is one. After an `error` it holds the stages that had ended, and no exit code.
  std::optional<RunReport> report;
  std::map<std::string, StagePlace> stage_places;  // by stage id

  // The pipeline's name, or else its file's.
  std::string Title() const;
};

// What gate.metrics has put into its report: one of its requirements, or a metric against the baseline.
struct GateRequirement {
  std::string text;
  std::string verdict;     // "yes", "no", "error", "no baseline"
  std::string numbers;     // behind it
  std::string difference;  // with its interval
  bool failed() const { return verdict == "no" || verdict == "error"; }
};
struct GateReport {
  std::vector<GateRequirement> requirements;
  std::vector<std::string> change_columns;        // headings
  std::vector<std::vector<std::string>> changes;  // rows
};
// Of a stage that is a gate and has an answer; nothing else has one.
std::optional<GateReport> ReadGateReport(const StageResult& stage);

// `text` fit for any report: escape sequences of terminals are taken out; bytes that are no UTF-8, and
// characters that XML 1.0 cannot hold, become U+FFFD. Line breaks are "\n".
std::string CleanReportText(std::string_view text);

// At most `count` last lines of the stage's log, cleaned: from its file, or else its log_tail.
std::vector<std::string> LastLogLines(const StageResult& stage, size_t count);

}  // namespace genflow::cli
