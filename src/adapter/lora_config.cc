#include "adapter/lora_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "text/pattern.h"

namespace genflow::adapter {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

// Keys that change what an adapter computes, in ways that genflow does not: anything but their plain value
// is refused. Absent, null, false and empty mean the same.
constexpr const char* kRefused[] = {"alora_invocation_tokens",
                                    "arrow_config",
                                    "ensure_weight_tying",
                                    "fan_in_fan_out",
                                    "kasa_config",
                                    "layer_replication",
                                    "lora_bias",
                                    "megatron_config",
                                    "monteclora_config",
                                    "target_parameters",
                                    "trainable_token_indices",
                                    "use_bdlora",
                                    "use_qalora",
                                    "velora_config"};

// Initialisations that leave the base as it is; the others come with other base weights.
constexpr const char* kPlainInitialisations[] = {"gaussian", "orthogonal", "eva"};

bool IsPlain(const ordered_json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

// Reads one object; every error names the file and the key.
class Reader {
 public:
  Reader(const ordered_json& object, std::string name) : object_(object), name_(std::move(name)) {}

  Error Bad(const std::string& what, const std::string& hint = {}) const {
    return InvalidError("'" + name_ + "': " + what, hint);
  }
  Error Unsupported(const std::string& what, const std::string& hint) const {
    return MakeError(Code::kUnsupported, "'" + name_ + "': " + what, hint);
  }
  // nullptr where it is absent or null.
  const ordered_json* Find(const char* key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  Error Expected(const char* key, const ordered_json* value, const char* what) const {
    std::string text = value == nullptr
                           ? "missing"
                           : "is " + value->dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    if (text.size() > 80) text = text.substr(0, 77) + "...";
    return Bad(std::string(key) + " " + (value == nullptr ? "is " : "") + text + ", expected " + what);
  }

  Result<int64_t> Rank(const char* key, const ordered_json* value) const {
    if (value == nullptr || !value->is_number_integer() || *value < 1 || *value > kMaxRank)
      return Expected(key, value, "a rank from 1 to 65536");
    return value->get<int64_t>();
  }
  Result<double> Alpha(const char* key, const ordered_json* value) const {
    if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>()) || !(*value > 0.0))
      return Expected(key, value, "a number above 0");
    return value->get<double>();
  }
  Result<bool> Flag(const char* key) const {
    const ordered_json* value = Find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return Expected(key, value, "true or false");
    return value->get<bool>();
  }
  Result<std::vector<std::string>> Names(const char* key) const {
    std::vector<std::string> out;
    const ordered_json* value = Find(key);
    if (value == nullptr) return out;
    if (!value->is_array()) return Expected(key, value, "a list of names");
    for (const auto& name : *value) {
      if (!name.is_string()) return Expected(key, value, "a list of names");
      out.push_back(name.get<std::string>());
    }
    return out;
  }
  // A regular expression, a list of names, or nothing.
  Result<TargetModules> Modules(const char* key) const {
    const ordered_json* value = Find(key);
    if (value != nullptr && value->is_string()) return TargetModules{{}, value->get<std::string>()};
    GF_TRY(std::vector<std::string> names, Names(key));
    return TargetModules{std::move(names), ""};
  }
  Result<std::vector<int64_t>> Layers(const char* key) const {
    std::vector<int64_t> out;
    const ordered_json* value = Find(key);
    if (value == nullptr) return out;
    const ordered_json list = value->is_array() ? *value : ordered_json::array({*value});
    for (const auto& layer : list) {
      if (!layer.is_number_integer()) return Expected(key, value, "a layer's index or a list of them");
      out.push_back(layer.get<int64_t>());
    }
    return out;
  }
  // {pattern: value} in the order of the file: the first that matches counts.
  template <class T, class Read>
  Status Patterns(const char* key, LoraConfig::Patterns<T>* out, Read&& read) const {
    const ordered_json* value = Find(key);
    if (value == nullptr) return Ok();
    if (!value->is_object()) return Expected(key, value, "an object");
    for (const auto& [pattern, entry] : value->items()) {
      GF_TRY(const T number, read(key, &entry));
      out->emplace_back(pattern, number);
    }
    return Ok();
  }

 private:
  const ordered_json& object_;
  std::string name_;
};

Result<LoraConfig> Read(const Reader& reader) {
  LoraConfig out;
  if (const auto* type = reader.Find("peft_type"); type == nullptr || *type != "LORA")
    return reader.Expected("peft_type", type, "\"LORA\"");
  for (const char* key : kRefused) {
    if (const auto* value = reader.Find(key); value != nullptr && !IsPlain(*value)) {
      return reader.Unsupported(std::string(key) + " is " +
                                    value->dump(-1, ' ', false, ordered_json::error_handler_t::replace) +
                                    ", which genflow does not compute",
                                "merge the adapter into its base with PEFT, or train it as a plain LoRA");
    }
  }
  if (const auto* bias = reader.Find("bias"); bias != nullptr && *bias != "none") {
    return reader.Unsupported("bias is " + bias->dump() + ", which genflow does not compute",
                              "train the adapter with bias \"none\"");
  }
  if (const auto* init = reader.Find("init_lora_weights"); init != nullptr && !init->is_boolean()) {
    if (!init->is_string()) return reader.Expected("init_lora_weights", init, "true, false or a name");
    out.init_lora_weights = init->get<std::string>();
  }
  GF_TRY(out.r, reader.Rank("r", reader.Find("r")));
  GF_TRY(out.alpha, reader.Alpha("lora_alpha", reader.Find("lora_alpha")));
  if (const auto* dropout = reader.Find("lora_dropout"); dropout != nullptr) {
    if (!dropout->is_number() || !(*dropout >= 0.0 && *dropout < 1.0))
      return reader.Expected("lora_dropout", dropout, "a number from 0 to less than 1");
    out.dropout = dropout->get<double>();
  }
  GF_TRY(out.use_rslora, reader.Flag("use_rslora"));
  GF_TRY(out.use_dora, reader.Flag("use_dora"));
  GF_TRY(out.target_modules, reader.Modules("target_modules"));
  GF_TRY(out.exclude_modules, reader.Modules("exclude_modules"));
  GF_TRY(out.modules_to_save, reader.Names("modules_to_save"));
  GF_TRY(out.layers_to_transform, reader.Layers("layers_to_transform"));
  GF_CHECK_OK(
      reader.Patterns("rank_pattern", &out.rank_pattern, [&](auto... args) { return reader.Rank(args...); }));
  GF_CHECK_OK(reader.Patterns("alpha_pattern", &out.alpha_pattern,
                              [&](auto... args) { return reader.Alpha(args...); }));
  return out;
}

// As Python's re.fullmatch. `where` names the pattern in messages.
Result<bool> FullMatch(const std::string& pattern, const std::string& module, const char* where) {
  const auto compiled = text::Pattern::Compile(pattern, {.whole = true});
  if (!compiled.ok()) return InvalidError(std::string(where) + ": " + compiled.error().message);
  GF_TRY(const auto match, compiled->Find(module));
  return match.has_value();
}

// The value of the first pattern (a regular expression) that the end of the module's name matches.
template <class T>
Result<T> PatternValue(const LoraConfig::Patterns<T>& patterns, const std::string& module, const char* where,
                       T otherwise) {
  for (const auto& [pattern, value] : patterns) {
    GF_TRY(const bool matches, FullMatch("(.*\\.)?(" + pattern + ")", module, where));
    if (matches) return value;
  }
  return otherwise;
}

// 12 for "model.layers.12.self_attn.q_proj", -1 outside of the layers.
int64_t LayerOf(const std::string& module) {
  constexpr std::string_view kLayers = ".layers.";
  const size_t at = module.find(kLayers);
  return at == std::string::npos ? -1 : std::atoll(module.c_str() + at + kLayers.size());
}

}  // namespace

bool LoraConfig::ChangesBase() const {
  const auto* end = std::end(kPlainInitialisations);
  return !init_lora_weights.empty() &&
         std::find(std::begin(kPlainInitialisations), end, init_lora_weights) == end;
}

Result<LoraConfig> ParseLoraConfig(std::string_view text, const std::string& name) {
  const auto config = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return InvalidError("'" + name + "': is not a JSON object");
  return Read(Reader(config, name));
}

Result<LoraConfig> ReadLoraConfig(const fs::path& folder) {
  const fs::path file = folder / "adapter_config.json";
  GF_TRY(const std::string text, ReadFile(file, 16 << 20));
  return ParseLoraConfig(text, file.string());
}

Result<bool> Targets(const TargetModules& targets, const std::string& module) {
  if (targets.pattern == "all-linear") return true;
  if (!targets.pattern.empty()) return FullMatch(targets.pattern, module, "target_modules");
  return std::any_of(targets.names.begin(), targets.names.end(),
                     [&](const std::string& name) { return module == name || module.ends_with("." + name); });
}

Result<LoraRank> RankOf(const LoraConfig& config, const std::string& module) {
  GF_TRY(const int64_t r, PatternValue(config.rank_pattern, module, "rank_pattern", config.r));
  GF_TRY(const double alpha, PatternValue(config.alpha_pattern, module, "alpha_pattern", config.alpha));
  const double divisor = config.use_rslora ? std::sqrt(static_cast<double>(r)) : static_cast<double>(r);
  return LoraRank{r, alpha / divisor};
}

Result<bool> Adapts(const LoraConfig& config, const std::string& module) {
  GF_TRY(const bool targeted, Targets(config.target_modules, module));
  if (!targeted) return false;
  GF_TRY(const bool excluded, Targets(config.exclude_modules, module));
  if (excluded) return false;
  const auto& layers = config.layers_to_transform;
  return layers.empty() || std::find(layers.begin(), layers.end(), LayerOf(module)) != layers.end();
}

}  // namespace genflow::adapter
