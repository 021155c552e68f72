#include "adapter/lora_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "adapter/folder.h"
#include "base/files.h"
#include "formats/weight_names.h"
#include "text/pattern.h"

namespace genflow::adapter {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr char kAllLinear[] = "all-linear";
constexpr char kTargetKey[] = "target_modules", kExcludeKey[] = "exclude_modules",
               kRankKey[] = "rank_pattern", kAlphaKey[] = "alpha_pattern";

// Every key of peft 0.21's LoraConfig with the value of a plain LoRA of a causal language model.
constexpr const char* kPlainConfig = R"({
    "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
    "base_model_name_or_path": null, "bias": "none", "corda_config": null, "ensure_weight_tying": false,
    "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
    "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "layers_pattern": null,
    "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8, "lora_bias": false,
    "lora_dropout": 0.0, "lora_ga_config": null, "megatron_config": null,
    "megatron_core": "megatron.core", "modules_to_save": null, "monteclora_config": null,
    "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 8, "rank_pattern": {},
    "revision": null, "target_modules": null, "target_parameters": null, "task_type": "CAUSAL_LM",
    "trainable_token_indices": null, "use_bdlora": null, "use_dora": false, "use_qalora": false,
    "use_rslora": false, "velora_config": null})";

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
      if (!layer.is_number_integer() || layer < 0)
        return Expected(key, value, "a layer's index or a list of them");
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
  GF_TRY(out.target_modules, reader.Modules(kTargetKey));
  if (out.target_modules.names.empty() && out.target_modules.pattern.empty()) {
    return reader.Expected(kTargetKey, reader.Find(kTargetKey), "a list of names or a regular expression");
  }
  GF_TRY(out.exclude_modules, reader.Modules(kExcludeKey));
  GF_TRY(out.modules_to_save, reader.Names("modules_to_save"));
  GF_TRY(out.layers_to_transform, reader.Layers("layers_to_transform"));
  GF_CHECK_OK(
      reader.Patterns(kRankKey, &out.rank_pattern, [&](auto... args) { return reader.Rank(args...); }));
  GF_CHECK_OK(
      reader.Patterns(kAlphaKey, &out.alpha_pattern, [&](auto... args) { return reader.Alpha(args...); }));
  if (const Status patterns = CheckPatterns(out); !patterns.ok())
    return reader.Bad(patterns.error().message, patterns.error().hint);
  return out;
}

// As Python's re.fullmatch does. `key` names the pattern in messages.
Result<text::Pattern> Compile(const std::string& pattern, const char* key) {
  auto compiled = text::Pattern::Compile(pattern, {.whole = true});
  if (!compiled.ok()) return InvalidError(std::string(key) + ": " + compiled.error().message);
  return compiled;
}

// A pattern that the end of a module's name is to match.
std::string OfEnd(const std::string& pattern) { return "(.*\\.)?(" + pattern + ")"; }

// The value of the first pattern that the end of the module's name matches.
template <class T>
Result<T> PatternValue(const LoraConfig::Patterns<T>& patterns, const std::string& module, const char* key,
                       T otherwise) {
  for (const auto& [pattern, value] : patterns) {
    GF_TRY(const auto compiled, Compile(OfEnd(pattern), key));
    GF_TRY(const auto match, compiled.Find(module));
    if (match) return value;
  }
  return otherwise;
}

Status CheckModules(const TargetModules& modules, const char* key) {
  if (modules.pattern.empty() || modules.pattern == kAllLinear) return Ok();
  GF_CHECK_OK(Compile(modules.pattern, key));
  return Ok();
}

template <class T>
Status CheckPatterns(const LoraConfig::Patterns<T>& patterns, const char* key) {
  for (const auto& [pattern, value] : patterns) GF_CHECK_OK(Compile(OfEnd(pattern), key));
  return Ok();
}

Result<bool> Targets(const TargetModules& targets, const std::string& module, const char* key) {
  if (targets.pattern == kAllLinear) return true;
  if (!targets.pattern.empty()) {
    GF_TRY(const auto compiled, Compile(targets.pattern, key));
    GF_TRY(const auto match, compiled.Find(module));
    return match.has_value();
  }
  return std::any_of(targets.names.begin(), targets.names.end(),
                     [&](const std::string& name) { return module == name || module.ends_with("." + name); });
}

// 32 for 32.0, because peft writes whole alphas as integers.
ordered_json AlphaNumber(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

// null for an empty list.
template <class List>
ordered_json ListOrNull(const List& list) {
  return list.empty() ? ordered_json() : ordered_json(list);
}
ordered_json ModulesOrNull(const TargetModules& modules) {
  return modules.pattern.empty() ? ListOrNull(modules.names) : ordered_json(modules.pattern);
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
  const fs::path file = folder / kConfigFile;
  GF_TRY(const std::string text, ReadFile(file, 16 << 20));
  return ParseLoraConfig(text, file.string());
}

std::string LoraConfigText(const LoraConfig& config, std::string_view rest) {
  ordered_json out = ordered_json::parse(rest.empty() ? kPlainConfig : rest);
  out["r"] = config.r;
  out["lora_alpha"] = AlphaNumber(config.alpha);
  out["lora_dropout"] = config.dropout;
  out[kTargetKey] = ModulesOrNull(config.target_modules);
  out[kExcludeKey] = ModulesOrNull(config.exclude_modules);
  out["layers_to_transform"] = ListOrNull(config.layers_to_transform);
  out["use_rslora"] = config.use_rslora;
  out["use_dora"] = config.use_dora;
  out["init_lora_weights"] =
      config.init_lora_weights.empty() ? ordered_json(true) : ordered_json(config.init_lora_weights);
  out["modules_to_save"] = ListOrNull(config.modules_to_save);
  ordered_json ranks = ordered_json::object(), alphas = ranks;
  for (const auto& [pattern, r] : config.rank_pattern) ranks[pattern] = r;
  for (const auto& [pattern, alpha] : config.alpha_pattern) alphas[pattern] = AlphaNumber(alpha);
  out[kRankKey] = std::move(ranks);
  out[kAlphaKey] = std::move(alphas);
  return out.dump(2);
}

Status CheckKeepsBase(const LoraConfig& config, const fs::path& folder, const std::string& otherwise) {
  if (!config.ChangesBase()) return Ok();
  return MakeError(
      Code::kUnsupported,
      "'" + (folder / kConfigFile).string() + "': init_lora_weights is \"" + config.init_lora_weights +
          "\", which changes the base weights that the adapter belongs to",
      "convert it with PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...)" +
          (otherwise.empty() ? "" : "; " + otherwise));
}

Status CheckPatterns(const LoraConfig& config) {
  GF_CHECK_OK(CheckModules(config.target_modules, kTargetKey));
  GF_CHECK_OK(CheckModules(config.exclude_modules, kExcludeKey));
  GF_CHECK_OK(CheckPatterns(config.rank_pattern, kRankKey));
  return CheckPatterns(config.alpha_pattern, kAlphaKey);
}

Result<LoraRank> RankOf(const LoraConfig& config, const std::string& module) {
  GF_TRY(const int64_t r, PatternValue(config.rank_pattern, module, kRankKey, config.r));
  GF_TRY(const double alpha, PatternValue(config.alpha_pattern, module, kAlphaKey, config.alpha));
  const double divisor = config.use_rslora ? std::sqrt(static_cast<double>(r)) : static_cast<double>(r);
  return LoraRank{r, alpha / divisor};
}

Result<bool> Adapts(const LoraConfig& config, const std::string& module) {
  GF_TRY(const bool targeted, Targets(config.target_modules, module, kTargetKey));
  if (!targeted) return false;
  GF_TRY(const bool excluded, Targets(config.exclude_modules, module, kExcludeKey));
  if (excluded) return false;
  const auto& layers = config.layers_to_transform;
  return layers.empty() || std::find(layers.begin(), layers.end(), formats::LayerOf(module)) != layers.end();
}

const std::string* SavedBy(const LoraConfig& config, const std::string& module) {
  for (const std::string& end : config.modules_to_save) {
    if (module.ends_with(end)) return &end;
  }
  return nullptr;
}

}  // namespace genflow::adapter
