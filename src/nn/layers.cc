#include "nn/layers.h"

#include <ATen/ATen.h>

#include "nn/fused.h"

namespace genflow::nn {

at::Tensor RmsNorm::Forward(const at::Tensor& x) const { return FusedRmsNorm(x, weight, eps); }

at::Tensor Mlp::Forward(const at::Tensor& x) const {
  const at::Tensor gate = gate_proj.Forward(x);  // [N, intermediate]
  const at::Tensor up = up_proj.Forward(x);      // [N, intermediate]
  return down_proj.Forward(FusedSwiGlu(gate, up));
}

at::Tensor DecoderLayer::Forward(const at::Tensor& x, const AttentionContext& context, int64_t layer) const {
  const at::Tensor attended = x + self_attn.Forward(input_layernorm.Forward(x), context, layer);
  return attended + mlp.Forward(post_attention_layernorm.Forward(attended));
}

}  // namespace genflow::nn
