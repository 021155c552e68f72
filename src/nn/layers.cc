#include "nn/layers.h"

#include <ATen/ATen.h>

namespace genflow::nn {

at::Tensor RmsNorm::Forward(const at::Tensor& x) const {
  const at::Tensor wide = x.to(at::kFloat);                                              // [N, hidden]
  const at::Tensor scale = at::rsqrt(wide.square().mean({-1}, /*keepdim=*/true) + eps);  // [N, 1]
  return weight * (wide * scale).to(x.scalar_type());
}

at::Tensor Mlp::Forward(const at::Tensor& x) const {
  const at::Tensor gate = gate_proj.Forward(x);  // [N, intermediate]
  const at::Tensor up = up_proj.Forward(x);      // [N, intermediate]
  return down_proj.Forward(at::silu(gate) * up);
}

at::Tensor DecoderLayer::Forward(const at::Tensor& x, const AttentionContext& context, int64_t layer) const {
  const at::Tensor attended = x + self_attn.Forward(input_layernorm.Forward(x), context, layer);
  return attended + mlp.Forward(post_attention_layernorm.Forward(attended));
}

}  // namespace genflow::nn
