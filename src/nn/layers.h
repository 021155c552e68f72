// The blocks of a Llama-like decoder besides attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "nn/attention.h"
#include "nn/linear.h"

namespace genflow::nn {

// Root-mean-square norm as in Hugging Face: statistics in fp32, the normalised value rounded to the type
// of x, then multiplied by the weight. Differentiable in x, and in the weight if it requires a gradient.
struct RmsNorm {
  at::Tensor weight;  // [hidden]
  double eps = 1e-6;

  // x [N, hidden] -> [N, hidden].
  at::Tensor Forward(const at::Tensor& x) const;
};

// SwiGLU (Shazeer 2020): down(silu(gate(x)) * up(x)).
struct Mlp {
  Linear gate_proj;  // [intermediate, hidden]
  Linear up_proj;    // [intermediate, hidden]
  Linear down_proj;  // [hidden, intermediate]
  // With the updates that are being trained; null without any.
  std::shared_ptr<AdaptedGroup> gate_up_group, down_group;

  // x [N, hidden] and what is added to the result -> [N, hidden].
  at::Tensor Forward(const at::Tensor& x, const at::Tensor& residual) const;
};

// Pre-norm residual block.
struct DecoderLayer {
  RmsNorm input_layernorm;
  Attention self_attn;
  RmsNorm post_attention_layernorm;
  Mlp mlp;

  // x [N, hidden] -> [N, hidden], or of the tokens `wanted` [n] int64 alone: [n, hidden]. `layer` is this
  // layer's index.
  at::Tensor Forward(const at::Tensor& x, const AttentionContext& context, int64_t layer,
                     const at::Tensor& wanted = {}) const;

  std::vector<const Linear*> Projections() const;

  // Makes the groups of updates that are to be trained, where they pay on this machine. The layer must stay
  // where it is from then on. `layer` is its index.
  void GroupProjections(int64_t layer);
};

}  // namespace genflow::nn
