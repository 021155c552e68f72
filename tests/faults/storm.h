// A pipeline of twelve stages that is run, disturbed and run again; what it made, and whether the store is
// whole.
#pragma once

#include <map>
#include <set>
#include <string>

#include "cli/sandbox.h"

namespace genflow {

// Whether this build has the stages that train; otherwise the pipeline has nine stages.
bool HasTraining();

// Writes `pipeline.yaml` and what it reads: exec and plugin stages, a fan-out, two fan-ins, folders, two
// stages with the same bytes, and a training with checkpoints. No stage is retried by itself. `pause` is the
// time that a counting stage takes for a step, and no part of a key.
void WriteStorm(const Sandbox& box, double pause = 0.01);
size_t StormStages();

// What a run of the store has made, by "stage.port": digests.
using Digests = std::map<std::string, std::string>;

struct RunState {
  std::string id, status;
  std::set<std::string> done;  // stages that ran or were cached
  std::set<std::string> ran;   // those of them that ran
  Digests digests;
};
// The latest run; nothing where the store has none.
std::optional<RunState> LatestRun(const Sandbox& box);

// "" when `genflow fsck` finds nothing but what gc frees; its output otherwise.
std::string FsckProblems(const Sandbox& box);

}  // namespace genflow
