// Cross-entropy on labelled tokens alone, without ever holding the logits of all of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "nn/quantized_weight.h"

namespace genflow::nn::train {

struct LossOptions {
  int64_t buffer_bytes = 96ll << 20;  // bound of one [rows, vocab] buffer of logits, at least one row
};

// Sum over i of -log softmax(hidden[rows[i]] head^T)[targets[i]], times `scale`, as a scalar in fp32.
//   hidden [N, H], differentiable; head [V, H], differentiable where it is an fp32 tensor that requires a
//   gradient; rows [M] int64, without repeats; targets [M] int64.
// Products are in the type of `hidden`, bf16 on a CPU without bf16 instructions in fp32; softmax and sums are
// in fp32. While a gradient is wanted, it is computed here, chunk by chunk, so that neither logits nor
// probabilities outlive their chunk. With M == 0 the result is 0, and so is the gradient.
at::Tensor LabelledCrossEntropy(const at::Tensor& hidden, const Matrix& head, const at::Tensor& rows,
                                const at::Tensor& targets, double scale, const LossOptions& options = {});

}  // namespace genflow::nn::train
