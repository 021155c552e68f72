// A frozen projection with a weight-decomposed update (DoRA, Liu et al. 2024) as one node of the graph.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "nn/linear.h"

namespace genflow::nn {

// The lengths of the rows of W + scaling B A, [out] fp32, and what they were computed from.
struct DoraNorm {
  at::Tensor lengths;
  uint32_t a_version = 0, b_version = 0;
};
// From lora.dora_norm where it is there and of A and B as they are.
at::Tensor DoraLengths(const Matrix& weight, const LoraSlot& lora);

// With u(x) = x W^T + scaling (x A^T) B^T and f = magnitude / DoraLengths, which has no gradient of its own,
// as in PEFT:
//   y = f u(x) + bias, or with dropout  y = x W^T + bias + f u(d) - d W^T, d what dropout left of x.
// x [N, in]; `dropped` [N, in], undefined without dropout. Differentiable in x, `dropped`, A, B and the
// magnitude. Products with W are in the type of x, all else is in fp32 and rounded once to the type of x. For
// the backward pass are kept: the input, its product with A^T, and u in the type of x.
at::Tensor DoraLinear(const at::Tensor& x, const at::Tensor& dropped, const Matrix& weight,
                      const at::Tensor& bias, const LoraSlot& lora);

}  // namespace genflow::nn
