#include "nn/config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "nn/registry.h"

namespace genflow::nn {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxSize = int64_t{1} << 32;

// Reads typed fields of one JSON object; remembers the first problem. A field that is null is absent.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const Json* Find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  int64_t Size(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) {
      Fail(where_ + " has no '" + key + "', expected a positive integer");
      return 1;
    }
    return CheckedSize(key, *value);
  }
  int64_t SizeOr(const char* key, int64_t fallback) {
    const Json* value = Find(key);
    return value == nullptr ? fallback : CheckedSize(key, *value);
  }
  double NumberOr(const char* key, double fallback) {
    const Json* value = Find(key);
    if (value == nullptr) return fallback;
    if (value->is_number() && std::isfinite(value->get<double>()) && value->get<double>() > 0)
      return value->get<double>();
    Expected(key, *value, "a positive number");
    return fallback;
  }
  double Number(const char* key) {
    if (Find(key) == nullptr) Fail(where_ + " has no '" + key + "', expected a positive number");
    return NumberOr(key, 1.0);
  }
  bool BoolOr(const char* key, bool fallback) {
    const Json* value = Find(key);
    if (value == nullptr) return fallback;
    if (value->is_boolean()) return value->get<bool>();
    Expected(key, *value, "true or false");
    return fallback;
  }
  std::string StringOr(const char* key, std::string fallback) {
    const Json* value = Find(key);
    if (value == nullptr) return fallback;
    if (value->is_string()) return value->get<std::string>();
    Expected(key, *value, "a string");
    return fallback;
  }

  void Fail(std::string message, Code code = Code::kInvalid, std::string hint = {}) {
    if (status_.ok()) status_ = MakeError(code, std::move(message), std::move(hint));
  }
  void Expected(const char* key, const Json& value, const char* what) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    Fail(where_ + ": '" + key + "' is " + text + ", expected " + what);
  }
  const Status& status() const { return status_; }
  const std::string& where() const { return where_; }

 private:
  int64_t CheckedSize(const char* key, const Json& value) {
    const bool fits =
        value.is_number_unsigned()
            ? value.get<uint64_t>() >= 1 && value.get<uint64_t>() <= static_cast<uint64_t>(kMaxSize)
            : value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= kMaxSize;
    if (fits) return value.get<int64_t>();
    Expected(key, value, "a positive integer");
    return 1;
  }

  const Json& object_;
  std::string where_;
  Status status_;
};

std::string SupportedArchitectures() {
  std::vector<std::string> names;
  for (const Family& family : Families()) names.emplace_back(family.architecture);
  return Join(names, ", ");
}

std::string Architecture(Fields& fields) {
  std::string name;
  if (const Json* list = fields.Find("architectures"); list != nullptr) {
    if (!list->is_array() || list->empty() || !list->front().is_string()) {
      fields.Expected("architectures", *list, "a list of one name");
      return {};
    }
    name = list->front().get<std::string>();
  } else {
    const std::string type = fields.StringOr("model_type", "");
    for (const Family& family : Families()) {
      if (family.model_type == type) name = family.architecture;
    }
    if (name.empty()) {
      fields.Fail("config.json names no 'architectures', expected one of: " + SupportedArchitectures());
      return {};
    }
  }
  for (const Family& family : Families()) {
    if (family.architecture == name) return name;
  }
  fields.Fail("model architecture '" + name + "' is not supported", Code::kUnsupported,
              "supported: " + SupportedArchitectures());
  return {};
}

void CheckPartialRotary(Fields& fields) {
  const Json* partial = fields.Find("partial_rotary_factor");
  if (partial == nullptr || *partial == 1.0) return;
  fields.Fail(
      fields.where() + ": 'partial_rotary_factor' is " + partial->dump() + ", and only 1 is supported",
      Code::kUnsupported);
}

// The object that says how rotary frequencies are made: transformers 5 has rope_parameters, 4 rope_scaling.
Status ParseRope(Fields& fields, ModelConfig& config) {
  CheckPartialRotary(fields);
  config.rope_theta = fields.NumberOr("rope_theta", config.rope_theta);
  const Json* object = fields.Find("rope_parameters");
  const char* key = "rope_parameters";
  if (object == nullptr) {
    object = fields.Find("rope_scaling");
    key = "rope_scaling";
  }
  if (object == nullptr) return Ok();
  if (!object->is_object()) {
    fields.Expected(key, *object, "an object");
    return Ok();
  }

  Fields rope(*object, std::string("config.json ") + key);
  config.rope_theta = rope.NumberOr("rope_theta", config.rope_theta);
  const std::string type = rope.StringOr("rope_type", rope.StringOr("type", "default"));
  RopeScaling& scaling = config.rope_scaling;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
    scaling.factor = rope.Number("factor");
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    scaling.factor = rope.Number("factor");
    scaling.low_freq_factor = rope.Number("low_freq_factor");
    scaling.high_freq_factor = rope.Number("high_freq_factor");
    scaling.original_max_positions = rope.SizeOr("original_max_position_embeddings", config.max_positions);
    if (rope.status().ok() && scaling.high_freq_factor <= scaling.low_freq_factor) {
      rope.Fail(std::string("config.json ") + key +
                ": 'high_freq_factor' must be greater than 'low_freq_factor'");
    }
  } else if (type != "default") {
    rope.Fail(std::string("config.json ") + key + " of type '" + type + "' is not supported",
              Code::kUnsupported, "supported: default, linear, llama3");
  }
  CheckPartialRotary(rope);
  return rope.status();
}

void ParseTokens(Fields& fields, ModelConfig& config) {
  const auto read = [&](const char* key, const Json& value, std::vector<int32_t>& ids) {
    if (value.is_number_integer() && value.get<int64_t>() >= 0 && value.get<int64_t>() < config.vocab_size) {
      ids.push_back(value.get<int32_t>());
    } else {
      fields.Expected(key, value, "token ids below vocab_size");
    }
  };
  if (const Json* eos = fields.Find("eos_token_id"); eos != nullptr) {
    if (eos->is_array()) {
      for (const Json& id : *eos) read("eos_token_id", id, config.eos_token_ids);
    } else {
      read("eos_token_id", *eos, config.eos_token_ids);
    }
  }
  std::vector<int32_t> bos;
  if (const Json* id = fields.Find("bos_token_id"); id != nullptr) read("bos_token_id", *id, bos);
  if (!bos.empty()) config.bos_token_id = bos[0];
}

}  // namespace

Result<ModelConfig> ParseModelConfig(const Json& json) {
  if (!json.is_object()) return InvalidError("config.json does not hold a JSON object");
  Fields fields(json, "config.json");
  ModelConfig config;
  config.architecture = Architecture(fields);
  if (!fields.status().ok()) return fields.status().error();
  if (fields.Find("quantization_config") != nullptr) {
    fields.Fail("config.json has a 'quantization_config', and such weights are not supported",
                Code::kUnsupported, "use the original model, or a GGUF file of it");
  }

  config.vocab_size = fields.Size("vocab_size");
  config.hidden_size = fields.Size("hidden_size");
  config.intermediate_size = fields.Size("intermediate_size");
  config.num_layers = fields.Size("num_hidden_layers");
  config.num_heads = fields.Size("num_attention_heads");
  config.num_kv_heads = fields.SizeOr("num_key_value_heads", config.num_heads);
  config.max_positions = fields.SizeOr("max_position_embeddings", 2048);
  config.rms_norm_eps = fields.NumberOr("rms_norm_eps", config.rms_norm_eps);
  config.tie_word_embeddings = fields.BoolOr("tie_word_embeddings", false);
  config.attention_bias = fields.BoolOr("attention_bias", false);
  config.mlp_bias = fields.BoolOr("mlp_bias", false);
  if (!fields.status().ok()) return fields.status().error();

  if (fields.Find("head_dim") == nullptr && config.hidden_size % config.num_heads != 0) {
    fields.Fail("config.json: 'hidden_size' " + std::to_string(config.hidden_size) +
                " is not a multiple of 'num_attention_heads' " + std::to_string(config.num_heads) +
                ", and there is no 'head_dim'");
  }
  config.head_dim = fields.SizeOr("head_dim", config.hidden_size / config.num_heads);
  if (config.head_dim % 2 != 0) {
    fields.Fail("config.json: 'head_dim' " + std::to_string(config.head_dim) +
                " is odd, rotary positions need it even");
  }
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.Fail("config.json: 'num_attention_heads' " + std::to_string(config.num_heads) +
                " is not a multiple of 'num_key_value_heads' " + std::to_string(config.num_kv_heads));
  }
  if (const std::string act = fields.StringOr("hidden_act", "silu"); act != "silu") {
    fields.Fail("config.json: 'hidden_act' \"" + act + "\" is not supported", Code::kUnsupported,
                "supported: silu");
  }
  const Status rope = ParseRope(fields, config);
  ParseTokens(fields, config);
  if (!fields.status().ok()) return fields.status().error();
  if (!rope.ok()) return rope.error();
  return config;
}

Status CheckTokens(const ModelConfig& config, const std::string& name, std::span<const int32_t> tokens) {
  if (tokens.empty()) return InvalidError(name + " is empty, expected at least one token");
  for (const int32_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return InvalidError(name + " holds token " + std::to_string(token) + ", the model's vocabulary has " +
                              std::to_string(config.vocab_size),
                          "use the tokenizer that belongs to the model");
    }
  }
  return Ok();
}

}  // namespace genflow::nn
