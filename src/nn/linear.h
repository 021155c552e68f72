// A projection, and the low-rank update that may ride on it.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "nn/quantized_weight.h"

namespace genflow::nn {

// A LoRA update of one projection (Hu et al. 2021), with PEFT's meaning:
//   y = base(x) + scaling * B(A(dropout(x)))
// computed in the type of A and B, then rounded to the type of base(x); or with a magnitude, a DoRA update:
// see dora_linear.h.
struct DoraNorm;
struct LoraSlot {
  at::Tensor a;           // [r, in]
  at::Tensor b;           // [out, r]
  double scaling = 1.0;   // alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA
  double dropout = 0.0;   // probability of zeroing an input of A; drawn from ATen's default generator
  bool training = false;  // dropout acts only while true
  at::Tensor magnitude;   // [out] fp32, undefined without DoRA
  // Where the norm that goes with it is kept from one product to the next; null: it is not kept.
  std::shared_ptr<DoraNorm> dora_norm = nullptr;
};

// x [..., in] times the transpose of weight [out, in] -> [..., out]. Of a quantised weight, differentiable in
// x alone; it is dequantised for this product and again for that of the backward pass.
at::Tensor Project(const at::Tensor& x, const at::Tensor& weight);
at::Tensor Project(const at::Tensor& x, const Matrix& weight);

// x [N, K] times the transpose of w [M, K], and times w [K, M]: in blocks where that pays (product.h), else
// by libtorch. Nothing is recorded.
at::Tensor MultiplyTransposed(const at::Tensor& x, const at::Tensor& w);
at::Tensor Multiply(const at::Tensor& x, const at::Tensor& w);

// x [N, in] times the transpose of a frozen [out, in], and dy [N, out] times it. bf16 is multiplied in fp32
// on a CPU without bf16 instructions, several times faster than libtorch does it there, and then is the
// result. Nothing is recorded.
at::Tensor FrozenProduct(const at::Tensor& x, const Matrix& weight);
at::Tensor FrozenProductBackward(const at::Tensor& dy, const Matrix& weight);

struct Linear {
  at::Tensor weight;  // [out, in], undefined where it is quantised
  std::shared_ptr<const QuantizedWeight> quantized;
  at::Tensor bias;  // [out], undefined without one
  std::optional<LoraSlot> lora;

  // x [..., in] -> [..., out]. A weight of another type than x is rounded to it, and a gradient back.
  at::Tensor Forward(const at::Tensor& x) const;
  // residual [N, out] + Forward(x [N, in]).
  at::Tensor ForwardOnto(const at::Tensor& x, const at::Tensor& residual) const;

  Matrix matrix() const { return {weight, quantized}; }
  int64_t in_features() const { return quantized ? quantized->columns() : weight.size(1); }
  int64_t out_features() const { return quantized ? quantized->rows() : weight.size(0); }
};

// x [N, in] through several projections: what Forward of each gives, [N, out] each; and
// silu(gate(x)) * up(x), [N, out]. In one go over x where nothing is recorded and blocks pay (product.h).
std::vector<at::Tensor> ForwardEach(const at::Tensor& x, const std::vector<const Linear*>& projections);
at::Tensor ForwardGated(const at::Tensor& x, const Linear& gate, const Linear& up);

}  // namespace genflow::nn
