// Forward passes of the recipe: of one micro-batch, and of held-out examples.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "nn/model.h"
#include "nn/train/ranks.h"
#include "nn/train/sft_data.h"

namespace genflow::nn::train {

struct ForwardOptions {
  double scale = 1;        // of the loss
  bool recompute = false;  // gradient checkpointing
  uint64_t seed = 0;       // of dropout and noise
  double neftune_noise_alpha = 0;
  std::function<void(const at::Tensor& x, int64_t layer)> on_layer_input;  // as Batch's
};

// Sum of the losses of a micro-batch's labels, times the scale.
at::Tensor MicroLoss(const CausalLM& model, const MicroBatch& micro, const ForwardOptions& options);

// Mean loss over the labelled tokens, without gradients. `ranks`, where not null, share the examples; each
// gets the same result, or RankLost is thrown. kInterrupted where any of them is to stop.
Result<double> EvaluateLoss(CausalLM& model, const SftExamples& examples, int64_t tokens_per_batch,
                            const std::function<bool()>& should_stop, Ranks* ranks = nullptr);

}  // namespace genflow::nn::train
