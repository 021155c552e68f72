// What `genflow run` does when nobody watches: whose turn it is, whether there is anything to do, and what is
// left behind for those who look later.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/notification.h"
#include "engine/engine.h"
#include "store/store.h"

namespace CLI {
class App;
}

namespace genflow::cli {

struct UnattendedOptions {
  std::string if_locked = "fail";  // fail, skip or wait
  std::string wait_timeout;        // a duration; empty: as long as it takes
  bool only_if_changed = false;
  std::vector<std::string> notify;  // as for ReadNotifyPlan
  std::string notify_on = "failure,gate,recovery";
  int keep_runs = 0, keep_days = 0;  // gc after the run, where one of them is given
  std::string prometheus;            // a file that gets the state of the store's pipelines after the run
};
void AddUnattendedOptions(CLI::App& run, UnattendedOptions& options);
// kInvalid for values that cannot be used. Takes $GENFLOW_NOTIFY out of the environment: stages need not
// know.
Result<NotifyPlan> CheckUnattended(const UnattendedOptions& options);

// One call of `genflow run`, from the moment that its command line is understood.
class UnattendedRun {
 public:
  // `options` must outlive it. `json`, `quiet`: how the run speaks.
  UnattendedRun(const UnattendedOptions& options, NotifyPlan notify, const std::filesystem::path& file,
                std::filesystem::path store_root, bool json, bool quiet);

  // --- Before the run; each reports what it finds and returns the exit code where there is one -------------
  // The pipeline's lock. Nothing: it is held, and --if-locked skip has been obeyed.
  Result<std::optional<FileLock>> Lock(Store& store, const std::string& pipeline);
  // Whether Lock had to wait: what was read before may be old.
  bool waited() const { return waited_; }
  // Whether --only-if-changed finds that everything is cached.
  Result<bool> Unchanged(const Pipeline& pipeline, Store& store, const RunOptions& options);
  // The run could not start, or the store failed under it.
  int Fail(const Error& error);
  // The pipeline has errors, which have been shown.
  int Invalid(const LoadResult& loaded);

  void SetReport(RunReport report) { report_ = std::move(report); }

  // --- The end -------------------------------------------------------------------------------------------
  // Leaves its traces; returns `exit_code`. Problems here are warnings: the run is what counts.
  int Finish(int exit_code);

 private:
  // What is written for others, with the store open for reading.
  Status LeaveTraces();
  void Notify(int exit_code);
  // As `genflow gc` with the same options.
  Status CollectGarbage();
  void Say(const std::string& event, const std::string& text) const;
  void Note(const std::string& outcome, const std::string& message) {
    outcome_ = outcome;
    message_ = message;
  }

  const UnattendedOptions& options_;
  const NotifyPlan notify_;
  const std::string file_;
  const std::filesystem::path root_;
  const bool json_, quiet_;
  std::string pipeline_;  // its name, once it is known
  bool waited_ = false;
  std::optional<RunReport> report_;
  std::string outcome_, message_;  // of a start that records no run
};

}  // namespace genflow::cli
