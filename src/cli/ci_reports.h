// The reports for CI systems that `genflow run` writes when it ends, however it ends.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/ci_console.h"
#include "cli/ci_outcome.h"
#include "engine/observer.h"

namespace genflow::cli {

struct CiOptions {
  std::string junit, summary, code_quality;  // files; empty: not asked for
};
void AddCiOptions(CLI::App& command, CiOptions& options);

// Passes on what it sees, and remembers how stages ended: what is left of a run that the store fails under.
class CiObserver : public Observer {
 public:
  // `view` and `outcome` must outlive it.
  CiObserver(Observer& view, RunOutcome& outcome) : view_(view), outcome_(outcome) {}

  void RunStarted(const RunHeader& header, double now) override;
  void StageStarted(const StageStart& start, double now) override { view_.StageStarted(start, now); }
  void Progress(const StageProgress& progress, double now) override { view_.Progress(progress, now); }
  void Metric(const StageMetric& metric, double now) override { view_.Metric(metric, now); }
  void Log(const StageLog& log, double now) override { view_.Log(log, now); }
  void StageRetries(const std::string& stage, int attempt, double delay, const Error& error,
                    double now) override {
    view_.StageRetries(stage, attempt, delay, error, now);
  }
  void StageWaits(const std::string& stage, const std::string& for_what, double now) override {
    view_.StageWaits(stage, for_what, now);
  }
  void StageFinished(const StageResult& result, double now) override;
  void Stopping(int signal, bool forced, double grace, double now) override {
    view_.Stopping(signal, forced, grace, now);
  }
  void Notice(const std::string& text) override { view_.Notice(text); }
  void RunFinished(const RunReport& report, double now) override;
  double Tick(double now) override { return view_.Tick(now); }

 private:
  Observer& view_;
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
