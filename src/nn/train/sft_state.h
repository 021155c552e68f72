// What the recipe keeps beside the adapter and the optimizer, and how it comes back from a checkpoint.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nn/train/checkpoint.h"
#include "nn/train/ranks.h"
#include "nn/train/sft.h"

namespace genflow::nn::train {

// The lowest loss on held-out examples so far, and the adapter that had it where that is wanted.
struct Best {
  double loss = std::numeric_limits<double>::infinity();
  int64_t step = 0;               // updates when it was found
  int64_t evaluations_since = 0;  // without a lower one
  at::Tensor parameters;

  void Take(double found, int64_t done, const at::Tensor& adapter);
};

// Small values that a checkpoint holds.
struct Progress {
  double loss_sum = 0;  // of all updates
  double first_loss = 0, final_loss = 0;
  int64_t labelled_tokens = 0;
  int64_t evaluated = 0;  // updates at the last evaluation
  Best best;

  nlohmann::json ToJson() const;
  void FromJson(const nlohmann::json& state);
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Puts the newest checkpoint of this training into `progress` and the tensors `kept`, all of which it must
// hold, and returns its step; 0 where there is none. With `ranks` process 0 reads it, and what it has, with
// or without a checkpoint, is what all have then.
Result<int64_t> Resume(const CheckpointStore& checkpoints, const SftOptions& options, const SftHooks& hooks,
                       const NamedTensors& kept, Progress* progress);

}  // namespace genflow::nn::train
