// Runs a pipeline: what is cached is taken from the store, the rest is executed, in parallel where the
// machine has room. One thread, one loop: start what fits, wait for one event, repeat.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/pipeline.h"
#include "engine/executor.h"
#include "engine/key_change.h"
#include "engine/observer.h"
#include "graph/schedule.h"
#include "store/store.h"

namespace genflow {

// Exit codes of `genflow run`.
inline constexpr int kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitGate = 3, kExitLocked = 4,
                     kExitInterrupted = 75;

struct RunOptions {
  std::vector<std::string> from, until;  // stage ids; unknown ones are refused with "did you mean"
  std::vector<std::string> force;
  bool force_all = false;
  bool keep_going = false;
  std::optional<int> jobs;        // at most this many stages at once
  double grace = 30;              // seconds between SIGTERM and SIGKILL
  Pools pools;                    // from DetectPools()
  std::vector<std::string> argv;  // recorded with the run
  // For how long one try to write waits for a database that another process keeps locked.
  int store_patience_ms = 1000;
  // The pipeline's lock, where the caller holds it already: the run takes it over. Null: the run takes it.
  FileLock* lock = nullptr;
};

// The whole run, from its lock to its last row. An Error is returned when the run could not start (kBusy:
// another run of this pipeline goes on; kInvalid: unknown stage names) or the store failed under it; a
// failing stage is a report like any other.
Result<RunReport> RunPipeline(const Pipeline& pipeline, Store& store, const RunOptions& options,
                              Executor& executor, Clock& clock, Observer& observer);

// What a run would do with one stage.
struct PlannedStage {
  std::string stage, uses;
  enum class Action { kRun, kMaybe, kCached, kSkip, kMissing } action = Action::kRun;
  // kRun, kMaybe: why there is no cached answer, one sentence a line; kSkip: what disables it; kMissing:
  // a stage outside the selection whose outputs are not in the cache. The sentences on `changes` stand last.
  std::vector<std::string> reasons;
  // What its key differs in from the nearest one that the stage has had, and the last run that had that one.
  // Empty: there is none, or the key is the same.
  std::vector<KeyChange> changes;
  std::string compared_run;
  std::optional<CacheHit> hit;   // of kCached, and of a forced stage that has one
  std::string key;               // empty: unknown until what comes before it has run
  double estimated_seconds = 0;  // from earlier runs; 0: unknown
};
const char* PlannedActionName(PlannedStage::Action action);  // "run", "maybe", "cached", "skip", "missing"

// The same decisions as RunPipeline, without executing or recording anything. In topological order.
Result<std::vector<PlannedStage>> PlanPipeline(const Pipeline& pipeline, Store& store,
                                               const RunOptions& options);

}  // namespace genflow
