// Which settings of a training fit into a memory, and which of them is best.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sizing/memory.h"

namespace genflow::sizing {

// `job` and what may be set instead, the faster first: fewer rows in a forward pass (and more of them
// accumulated), gradient checkpointing, bf16, shorter rows.
std::vector<Job> Alternatives(const Job& job);

// The first of them that takes at most `bytes`.
std::optional<Job> FirstThatFits(const ModelShape& shape, const Job& job, uint64_t bytes);

// What must be written to get from `from` to `to`, in train.lora's words: "per_device_train_batch_size: 1,
// gradient_accumulation_steps: 4, gradient_checkpointing: true". `accumulation`: of `from`.
std::string Difference(const Job& from, const Job& to, int64_t accumulation);

// The parts that matter, the largest first: "weights 1.2 GiB, activations 830.1 MiB, ...".
std::string PartsText(const Memory& memory);

}  // namespace genflow::sizing
