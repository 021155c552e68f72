// The reports for CI systems that `genflow run` writes when it ends, however it ends.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/ci_console.h"
#include "cli/ci_outcome.h"
#include "cli/forwarding_observer.h"
#include "cli/workspace.h"
#include "engine/observer.h"

namespace genflow::cli {

// For options that name a file to write.
inline CLI::Validator NamesFile() {
  return CLI::Validator(
      [](const std::string& text) { return text.empty() ? std::string("no file is named") : std::string(); },
      "");
}

struct CiOptions {
  std::string junit, summary, code_quality;  // files; empty: not asked for
};
void AddCiOptions(CLI::App& command, CiOptions& options);

// Refuses to write a report over a file that the command reads, or over one that is no report of its kind.
Status CheckReportFiles(const CiOptions& options, const PipelineOptions& pipeline);

// Passes on what it sees, and remembers how stages ended: what is left of a run that the store fails under.
class CiObserver : public ForwardingObserver {
 public:
  // `view` and `outcome` must outlive it.
  CiObserver(Observer& view, RunOutcome& outcome) : ForwardingObserver(view), outcome_(outcome) {}

  void RunStarted(const RunHeader& header, double now) override;
  void StageFinished(const StageResult& result, double now) override;
  void RunFinished(const RunReport& report, double now) override;

 private:
  RunOutcome& outcome_;
};

// Writes the files, each whole or not at all; adds the summary to the job's page and the annotations to
// standard error where the environment has them. Returns `code`, or 1 instead of 0 when a file could not be
// written.
int WriteCiReports(const CiOptions& options, const CiEnvironment& environment, const RunOutcome& outcome,
                   int code);

// For a pipeline that is only checked: annotations, and the code quality report where `file` is given.
int WriteCiDiagnostics(const std::string& code_quality, const RunOutcome& outcome, int code);

}  // namespace genflow::cli
