// Llama and the models that share its architecture (SmolLM2, TinyLlama, Llama 1 to 3).
#include <ATen/ATen.h>

#include "nn/model.h"
#include "nn/registry.h"

namespace genflow::nn {
namespace {

Linear MakeLinear(int64_t in, int64_t out, bool bias, const at::TensorOptions& options) {
  Linear linear;
  linear.weight = at::empty({out, in}, options);
  if (bias) linear.bias = at::empty({out}, options);
  return linear;
}

RmsNorm MakeNorm(const ModelConfig& config, const at::TensorOptions& options) {
  return RmsNorm{at::empty({config.hidden_size}, options), config.rms_norm_eps};
}

void BuildLlama(const ModelConfig& config, const at::TensorOptions& options, CausalLM& model) {
  const int64_t hidden = config.hidden_size;
  const int64_t q_size = config.num_heads * config.head_dim;
  const int64_t kv_size = config.num_kv_heads * config.head_dim;

  model.embed_tokens = at::empty({config.vocab_size, hidden}, options);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    DecoderLayer& layer = model.layers.emplace_back();
    layer.input_layernorm = MakeNorm(config, options);
    layer.self_attn.q_proj = MakeLinear(hidden, q_size, config.attention_bias, options);
    layer.self_attn.k_proj = MakeLinear(hidden, kv_size, config.attention_bias, options);
    layer.self_attn.v_proj = MakeLinear(hidden, kv_size, config.attention_bias, options);
    layer.self_attn.o_proj = MakeLinear(q_size, hidden, config.attention_bias, options);
    layer.self_attn.num_heads = config.num_heads;
    layer.self_attn.num_kv_heads = config.num_kv_heads;
    layer.self_attn.head_dim = config.head_dim;
    layer.post_attention_layernorm = MakeNorm(config, options);
    layer.mlp.gate_proj = MakeLinear(hidden, config.intermediate_size, config.mlp_bias, options);
    layer.mlp.up_proj = MakeLinear(hidden, config.intermediate_size, config.mlp_bias, options);
    layer.mlp.down_proj = MakeLinear(config.intermediate_size, hidden, config.mlp_bias, options);
  }
  model.norm = MakeNorm(config, options);
  if (!config.tie_word_embeddings) model.lm_head = at::empty({config.vocab_size, hidden}, options);
}

constexpr Family kFamilies[] = {{"LlamaForCausalLM", "llama", BuildLlama}};

}  // namespace

std::span<const Family> Families() { return kFamilies; }

}  // namespace genflow::nn
