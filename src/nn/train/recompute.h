// Gradient checkpointing (Chen et al. 2016), a layer at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/model.h"

namespace genflow::nn::train {

// As CausalLM::Hidden without a cache, [B*T, hidden], but keeps the inputs of the layers alone and runs each
// layer again in the backward pass. Dropout draws the same both times.
at::Tensor HiddenRecomputed(const CausalLM& model, const Batch& batch);

}  // namespace genflow::nn::train
