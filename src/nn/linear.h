// A projection, and the low-rank update that may ride on it.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace genflow::nn {

// A LoRA update of one projection (Hu et al. 2021), with PEFT's meaning:
//   y = base(x) + scaling * B(A(dropout(x)))
// computed in the type of A and B, then rounded to the type of base(x).
struct LoraSlot {
  at::Tensor a;           // [r, in]
  at::Tensor b;           // [out, r]
  double scaling = 1.0;   // alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA
  double dropout = 0.0;   // probability of zeroing an input of A; drawn from ATen's default generator
  bool training = false;  // dropout acts only while true
};

// x [..., in] times the transpose of weight [out, in] -> [..., out].
at::Tensor Project(const at::Tensor& x, const at::Tensor& weight);

// x [N, K] times the transpose of w [M, K], and times w [K, M]: by whichever of libtorch's libraries does it
// fastest on this machine for many rows. Rows of x may stand apart; w is contiguous. Nothing is recorded.
at::Tensor MultiplyTransposed(const at::Tensor& x, const at::Tensor& w);
at::Tensor Multiply(const at::Tensor& x, const at::Tensor& w);

struct Linear {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out], undefined without one
  std::optional<LoraSlot> lora;

  // x [..., in] -> [..., out].
  at::Tensor Forward(const at::Tensor& x) const;

  int64_t in_features() const { return weight.size(1); }
  int64_t out_features() const { return weight.size(0); }
};

}  // namespace genflow::nn
