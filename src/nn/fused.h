// Element-wise parts of a decoder layer in one pass over memory, forward and backward. On the CPU in fp32 and
// bf16 by our own kernels; elsewhere by ATen's operations with the same meaning. All differentiable.
#pragma once

#include <ATen/core/Tensor.h>

namespace genflow::nn {

// x [N, n], weight [n] -> weight * T(x / sqrt(mean(x^2) + eps)). For the backward pass only x and one number
// a row are kept.
at::Tensor FusedRmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps);

// silu(gate) * up, all of one shape. For the backward pass only gate and up are kept.
at::Tensor FusedSwiGlu(const at::Tensor& gate, const at::Tensor& up);

// x [N, heads, head_dim]; cos and sin [N, head_dim] fp32 with equal halves. Nothing of x is kept.
at::Tensor FusedRope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

}  // namespace genflow::nn
