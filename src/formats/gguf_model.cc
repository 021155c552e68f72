#include "formats/gguf_model.h"

#include <cmath>
#include <numbers>
#include <utility>

namespace genflow::formats {
namespace {

using nlohmann::json;

constexpr std::pair<std::string_view, std::string_view> kGlobalNames[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};
// Of one layer, without ".weight" or ".bias".
constexpr std::pair<std::string_view, std::string_view> kLayerNames[] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

// "PREFIX<digits>.REST" -> {digits, REST}.
std::optional<std::pair<std::string_view, std::string_view>> SplitLayer(std::string_view name,
                                                                        std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  const size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
  const std::string_view number = name.substr(0, dot);
  if (number.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  return std::pair(number, name.substr(dot + 1));
}

std::optional<std::string> MapName(std::string_view name, bool to_hf) {
  for (const auto& [gguf, hf] : kGlobalNames) {
    if (name == (to_hf ? gguf : hf)) return std::string(to_hf ? hf : gguf);
  }
  const auto layer = SplitLayer(name, to_hf ? "blk." : "model.layers.");
  if (!layer) return std::nullopt;
  const auto [number, rest] = *layer;
  const size_t dot = rest.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view stem = rest.substr(0, dot), suffix = rest.substr(dot);
  if (suffix != ".weight" && suffix != ".bias") return std::nullopt;
  for (const auto& [gguf, hf] : kLayerNames) {
    if (stem != (to_hf ? gguf : hf)) continue;
    return std::string(to_hf ? "model.layers." : "blk.") + std::string(number) + "." +
           std::string(to_hf ? hf : gguf) + std::string(suffix);
  }
  return std::nullopt;
}

Error Missing(const GgufFile& file, const std::string& key) {
  return MakeError(Code::kCorrupt,
                   file.path().string() + ": metadata key '" + key + "' is missing or not a number");
}

// Llama 3.1's frequency factors are stored as a tensor; these are its published parameters, with `factor`
// read off the tensor and the whole of it checked.
Status AddLlama3Scaling(const GgufFile& file, int64_t head_dim, json* config) {
  const GgufTensor* tensor = file.FindTensor("rope_freqs.weight");
  if (tensor == nullptr) return Ok();
  std::vector<float> factors(tensor->elements);
  GF_CHECK_OK(DequantizeRows(tensor->type, tensor->data, 1, tensor->elements, factors.data()));
  const auto unsupported = [&] {
    return MakeError(Code::kUnsupported,
                     file.path().string() + ": tensor 'rope_freqs.weight' is not Llama 3.1's scaling",
                     "import the Hugging Face folder of this model instead");
  };
  if (static_cast<int64_t>(factors.size()) * 2 != head_dim) return unsupported();
  const double factor = std::round(factors.back()), low = 1, high = 4, original = 8192;
  const double theta = (*config)["rope_theta"];
  for (size_t i = 0; i < factors.size(); ++i) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    double expected = 1;
    if (wavelength > original / low) {
      expected = factor;
    } else if (wavelength >= original / high) {
      const double smooth = (original / wavelength - low) / (high - low);
      expected = 1 / ((1 - smooth) / factor + smooth);
    }
    if (!(std::abs(factors[i] - expected) <= 1e-3 * expected)) return unsupported();
  }
  (*config)["rope_scaling"] = {{"rope_type", "llama3"},
                               {"factor", factor},
                               {"low_freq_factor", low},
                               {"high_freq_factor", high},
                               {"original_max_position_embeddings", static_cast<int64_t>(original)}};
  return Ok();
}

Status AddScaling(const GgufFile& file, const std::string& arch, json* config) {
  const auto type = file.String(arch + ".rope.scaling.type");
  if (!type || *type == "none") return Ok();
  const auto factor = file.Float(arch + ".rope.scaling.factor");
  if ((*type != "linear" && *type != "yarn") || !factor) {
    return MakeError(Code::kUnsupported,
                     file.path().string() + ": rope scaling '" + std::string(*type) + "' is not supported");
  }
  json scaling = {{"rope_type", *type}, {"factor", *factor}};
  if (const auto original = file.Int(arch + ".rope.scaling.original_context_length")) {
    scaling["original_max_position_embeddings"] = *original;
  }
  (*config)["rope_scaling"] = std::move(scaling);
  return Ok();
}

}  // namespace

bool IsGgufArchitecture(std::string_view model_type) {
  return model_type == "llama" || model_type == "mistral" || model_type == "qwen2" || model_type == "qwen3";
}

Error NoGgufArchitecture(const std::string& model_type) {
  return MakeError(Code::kUnsupported, "a '" + model_type + "' model cannot be written to a GGUF",
                   "llama, mistral, qwen2 and qwen3 can");
}

std::string GgufArchitecture(const std::string& model_type) {
  return model_type == "mistral" ? "llama" : model_type;
}

std::optional<std::string> HfTensorName(std::string_view gguf_name) { return MapName(gguf_name, true); }
std::optional<std::string> GgufTensorName(std::string_view hf_name) { return MapName(hf_name, false); }

int64_t PermutedHeads(std::string_view hf_name, const json& config) {
  const std::string type = config.value("model_type", "");
  if (type != "llama" && type != "mistral") return 0;
  const auto layer = SplitLayer(hf_name, "model.layers.");
  if (!layer) return 0;
  if (layer->second.starts_with("self_attn.q_proj.")) return config.value("num_attention_heads", int64_t{0});
  if (layer->second.starts_with("self_attn.k_proj.")) return config.value("num_key_value_heads", int64_t{0});
  return 0;
}

Result<json> ConfigFromGguf(const GgufFile& file) {
  const auto architecture = file.String("general.architecture");
  if (!architecture) return Missing(file, "general.architecture");
  const std::string arch(*architecture);
  if (arch != "llama" && arch != "qwen2" && arch != "qwen3") {
    return MakeError(Code::kUnsupported,
                     file.path().string() + ": architecture '" + arch + "' is not supported",
                     "llama, qwen2 and qwen3 are");
  }
  json config;
  config["model_type"] = arch;
  config["architectures"] = {arch == "llama"   ? "LlamaForCausalLM"
                             : arch == "qwen2" ? "Qwen2ForCausalLM"
                                               : "Qwen3ForCausalLM"};
  static constexpr std::pair<const char*, const char*> kSizes[] = {
      {"hidden_size", "embedding_length"},           {"intermediate_size", "feed_forward_length"},
      {"num_hidden_layers", "block_count"},          {"num_attention_heads", "attention.head_count"},
      {"max_position_embeddings", "context_length"},
  };
  for (const auto& [name, key] : kSizes) {
    const auto value = file.Int(arch + "." + key);
    if (!value) return Missing(file, arch + "." + key);
    if (*value <= 0 || *value > INT32_MAX) {
      return MakeError(Code::kCorrupt, file.path().string() + ": metadata key '" + arch + "." + key +
                                           "' is " + std::to_string(*value));
    }
    config[name] = *value;
  }
  const int64_t heads = config["num_attention_heads"], hidden = config["hidden_size"];
  config["num_key_value_heads"] = file.Int(arch + ".attention.head_count_kv").value_or(heads);
  const int64_t kv_heads = config["num_key_value_heads"];
  const int64_t head_dim = file.Int(arch + ".attention.key_length")
                               .value_or(file.Int(arch + ".rope.dimension_count").value_or(hidden / heads));
  if (kv_heads <= 0 || heads % kv_heads != 0 || head_dim <= 0 || head_dim % 2 != 0) {
    return MakeError(Code::kCorrupt, file.path().string() + ": " + std::to_string(heads) +
                                         " attention heads, " + std::to_string(kv_heads) +
                                         " key-value heads and head size " + std::to_string(head_dim) +
                                         " do not fit together");
  }
  config["head_dim"] = head_dim;
  const auto eps = file.Float(arch + ".attention.layer_norm_rms_epsilon");
  if (!eps) return Missing(file, arch + ".attention.layer_norm_rms_epsilon");
  // The file has float32; the shortest decimal that gives the same float32 is what config.json had.
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", *eps);
  const double brief = std::strtod(text, nullptr);
  config["rms_norm_eps"] = static_cast<float>(brief) == static_cast<float>(*eps) ? brief : *eps;
  config["rope_theta"] = file.Float(arch + ".rope.freq_base").value_or(10000.0);
  config["hidden_act"] = "silu";
  config["torch_dtype"] = "float32";

  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr)
    return MakeError(Code::kCorrupt, file.path().string() + ": tensor 'token_embd.weight' is missing");
  config["vocab_size"] = embedding->shape.front();
  config["tie_word_embeddings"] = file.FindTensor("output.weight") == nullptr;
  config["attention_bias"] = file.FindTensor("blk.0.attn_q.bias") != nullptr;
  config["mlp_bias"] = file.FindTensor("blk.0.ffn_gate.bias") != nullptr;
  config["rope_scaling"] = nullptr;
  GF_CHECK_OK(AddScaling(file, arch, &config));
  GF_CHECK_OK(AddLlama3Scaling(file, head_dim, &config));
  static constexpr std::pair<const char*, const char*> kTokens[] = {{"bos_token_id", "bos_token_id"},
                                                                    {"eos_token_id", "eos_token_id"},
                                                                    {"pad_token_id", "padding_token_id"}};
  for (const auto& [name, key] : kTokens) {
    const auto value = file.Int(std::string("tokenizer.ggml.") + key);
    config[name] = value ? json(*value) : json(nullptr);
  }
  return config;
}

}  // namespace genflow::formats
