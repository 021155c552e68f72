// What the engine's loop knows of a stage.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/attempt.h"
#include "engine/observer.h"
#include "store/store.h"

namespace genflow {

struct Node {
  bool looked_up = false;
  bool announced_wait = false;
  std::string lookup_problem;
  double wake_at = kNever;  // end of a backoff, or the next look at a key
  int attempts = 0;
  bool decided = false;                    // its `if`
  bool reacts = false;                     // to how others went: it runs whatever the cache has
  std::string why_not;                     // its `if` said no
  std::string made_by_run, made_by_stage;  // of its outputs
  std::optional<std::map<std::string, double>> known_metrics;
  KeyLock key_lock;
  std::unique_ptr<Attempt> attempt;
  StageResult result;
};

// Status and exit code of a run, from what its stages did and the signal that stopped it (0: none).
// `self_interrupted`: a stage stopped by itself. It is resumable where a stage ran, or `report` says so
// already.
void Conclude(RunReport* report, int signal, bool self_interrupted);

}  // namespace genflow
