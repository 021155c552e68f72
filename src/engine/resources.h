// The machine's pools, and what a stage asks from them.
#pragma once

#include "config/pipeline.h"
#include "graph/schedule.h"

namespace genflow {

// CPUs this process may use (affinity and cgroup quota), GPUs (/dev/nvidia<N>, narrowed by
// CUDA_VISIBLE_DEVICES), and memory (the machine's or the cgroup's limit).
Pools DetectPools();

// What a stage asks for. Where the pipeline says nothing, exec takes 1 CPU, and a plugin's stage 1 up to all,
// and a GPU for each of its processes if it has a parameter `device` that is not "cpu" and the machine has
// them ("cuda:N": that one). A
// stage with a `device` that gets no GPU takes all CPUs: the sums of a model depend on the number of threads,
// and its bytes must not depend on what happens to run beside it.
Demand DemandOf(const StageSpec& stage, const Pools& pools);

// Whether the stage's GPUs are managed by the pools: it asked for them, or has a `device`.
bool UsesGpuPool(const StageSpec& stage);

}  // namespace genflow
