// What a run tells the world while it goes on. A renderer is an Observer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/records.h"

namespace genflow {

// How a stage ended in a run.
enum class StageStatus {
  kRan,     // executed, and succeeded
  kCached,  // outputs taken from the store
  kFailed,
  kGated,        // executed; its answer is no; outputs are kept
  kInterrupted,  // stopped by the user; its state folder is kept
  kSkipped,      // not executed, see `reason`
};
const char* StageStatusName(StageStatus status);  // "ran", "cached", "failed", "gated", ...

struct StageResult {
  std::string stage, uses;
  StageStatus status = StageStatus::kSkipped;
  std::string reason;  // kSkipped: "needs 'clean', which failed"; kCached: the run that made it
  double seconds = 0;  // of all attempts; kCached: what computing it took at the time
  int attempts = 0;
  std::optional<Error> error;         // kFailed and kGated
  std::filesystem::path log;          // empty: none
  std::vector<std::string> log_tail;  // last lines of the log, when the stage failed
  std::string summary;                // Markdown
  std::string key;
  Outputs outputs;
  uint64_t peak_rss_bytes = 0;
  double cpu_seconds = 0;
};

struct RunHeader {
  std::string run, pipeline;
  std::filesystem::path store;
  std::vector<std::string> stages;  // that take part, in topological order
};

struct RunReport {
  std::string run, pipeline;
  RunStatus status = RunStatus::kOk;
  int exit_code = 0;
  double seconds = 0;
  bool resumable = false;           // a rerun continues from what this one has done
  std::vector<StageResult> stages;  // that took part, in the order of the pipeline file
};

struct StageStart {
  std::string stage, uses;
  int attempt = 1;
  int attempts_allowed = 1;
  std::string reason;  // why it is not taken from the cache: "param 'epochs' changed: 1 -> 2"
  int threads = 1;
  std::vector<int> gpus;
  std::filesystem::path log;
};

struct StageProgress {
  std::string stage;
  uint64_t done = 0, total = 0;  // total 0: unknown
  std::string unit, message;
};

struct StageMetric {
  std::string stage, name;
  double value = 0;
  int64_t step = -1;
};

struct StageLog {
  std::string stage;
  std::string level;  // debug, info, warning, error; "output": a line of the worker's stdout or stderr
  std::string text;
};

// Times are the clock's seconds. Methods are called on the engine's thread and must be quick.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void RunStarted(const RunHeader&, double /*now*/) {}
  virtual void StageStarted(const StageStart&, double /*now*/) {}
  virtual void Progress(const StageProgress&, double /*now*/) {}
  virtual void Metric(const StageMetric&, double /*now*/) {}
  virtual void Log(const StageLog&, double /*now*/) {}
  // The attempt failed and another one follows after `delay` seconds.
  virtual void StageRetries(const std::string& /*stage*/, int /*attempt*/, double /*delay*/, const Error&,
                            double /*now*/) {}
  // The stage waits for the same computation in another run.
  virtual void StageWaits(const std::string& /*stage*/, const std::string& /*for_what*/, double /*now*/) {}
  virtual void StageFinished(const StageResult&, double /*now*/) {}
  // A signal came in; `forced`: the second one, workers are killed.
  virtual void Stopping(int /*signal*/, bool /*forced*/, double /*grace*/, double /*now*/) {}
  virtual void Notice(const std::string& /*text*/) {}
  virtual void RunFinished(const RunReport&, double /*now*/) {}
  // Redraws what depends on time alone; returns when to call again (infinity: never).
  virtual double Tick(double now);
};

}  // namespace genflow
