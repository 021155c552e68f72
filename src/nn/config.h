// What config.json of a Hugging Face model folder says about a decoder, validated.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::nn {

// How rotary frequencies are stretched past the trained context.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1.0;
  // kLlama3 only.
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_positions = 8192;
};

struct ModelConfig {
  std::string architecture;  // "LlamaForCausalLM"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t max_positions = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  std::vector<int32_t> eos_token_ids;  // empty when the file names none
  int32_t bos_token_id = -1;           // -1 when the file names none
};

// Validates a config.json, in the spelling of transformers 4 (rope_theta, rope_scaling) or 5
// (rope_parameters). Errors name the field, what it holds and what is expected.
Result<ModelConfig> ParseModelConfig(const nlohmann::json& config);

// Refuses a sequence without tokens, and one with a token outside of the vocabulary; `name` stands in
// messages.
Status CheckTokens(const ModelConfig& config, const std::string& name, std::span<const int32_t> tokens);

}  // namespace genflow::nn
