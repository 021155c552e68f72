#include "nn/layers.h"

#include <ATen/ATen.h>

#include "nn/adapted_block.h"
#include "nn/adapted_group.h"
#include "nn/flash_attention.h"
#include "nn/fused.h"

namespace genflow::nn {

at::Tensor RmsNorm::Forward(const at::Tensor& x) const {
  return FusedRmsNorm(x, weight.to(x.scalar_type()), eps);
}

at::Tensor Mlp::Forward(const at::Tensor& x, const at::Tensor& residual) const {
  return down_proj.ForwardOnto(ForwardGated(x, gate_proj, up_proj), residual);
}

at::Tensor DecoderLayer::Forward(const at::Tensor& x, const AttentionContext& context, int64_t layer,
                                 const at::Tensor& wanted) const {
  const auto rows = [&](const at::Tensor& of) { return wanted.defined() ? of.index_select(0, wanted) : of; };
  if (HasAdaptedBlocks(*this, context)) {
    return AdaptedMlp(*this, rows(AdaptedAttention(*this, x, context)), context);
  }
  const at::Tensor heads = self_attn.Attend(input_layernorm.Forward(x), context, layer);
  const at::Tensor attended = self_attn.o_proj.ForwardOnto(rows(heads), rows(x));
  return mlp.Forward(post_attention_layernorm.Forward(attended), attended);
}

std::vector<const Linear*> DecoderLayer::Projections() const {
  return {&self_attn.q_proj, &self_attn.k_proj, &self_attn.v_proj, &self_attn.o_proj,
          &mlp.gate_proj,    &mlp.up_proj,      &mlp.down_proj};
}

void DecoderLayer::GroupProjections(int64_t layer) {
  const at::Tensor& like = input_layernorm.weight;  // of the type and on the device of all
  const auto is_trained = [](const at::Tensor& weight) { return weight.defined() && weight.requires_grad(); };
  if (is_trained(like) || is_trained(post_attention_layernorm.weight)) return;
  for (const Linear* linear : Projections()) {
    if (is_trained(linear->weight)) return;
    if (linear->lora && linear->lora->magnitude.defined()) return;  // has a node of its own: dora_linear.h
  }
  if (!AdaptedGroup::Pays(like) || !HasFlashAttention(like, self_attn.head_dim)) return;
  auto stream = static_cast<uint64_t>(layer) << 34;
  const auto group = [&](std::vector<Linear*> linears) {
    return std::make_shared<AdaptedGroup>(std::move(linears), like.scalar_type(),
                                          stream += uint64_t{1} << 32);
  };
  self_attn.qkv_group = group({&self_attn.q_proj, &self_attn.k_proj, &self_attn.v_proj});
  self_attn.o_group = group({&self_attn.o_proj});
  mlp.gate_up_group = group({&mlp.gate_proj, &mlp.up_proj});
  mlp.down_group = group({&mlp.down_proj});
}

}  // namespace genflow::nn
