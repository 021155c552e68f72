#include "nn/train/adapter.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/files.h"
#include "formats/safetensors.h"
#include "nn/guarded.h"

namespace genflow::nn::train {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr char kConfigFile[] = "adapter_config.json";
constexpr char kTensorFile[] = "adapter_model.safetensors";
constexpr char kPrefix[] = "base_model.model.";

// Every key of peft 0.21's LoraConfig with the value of a plain LoRA of a causal language model.
ordered_json PlainConfig() {
  return ordered_json::parse(R"({
    "alora_invocation_tokens": null, "alpha_pattern": {}, "arrow_config": null, "auto_mapping": null,
    "base_model_name_or_path": null, "bias": "none", "corda_config": null, "ensure_weight_tying": false,
    "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true,
    "init_lora_weights": true, "kasa_config": null, "layer_replication": null, "layers_pattern": null,
    "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8, "lora_bias": false, "lora_dropout": 0.0,
    "lora_ga_config": null, "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
    "monteclora_config": null, "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 8,
    "rank_pattern": {}, "revision": null, "target_modules": null, "target_parameters": null,
    "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_bdlora": null, "use_dora": false,
    "use_qalora": false, "use_rslora": false, "velora_config": null})");
}

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
constexpr const char* kInitialisations[] = {"gaussian", "orthogonal", "eva"};
constexpr char kMagnitude[] = ".lora_magnitude_vector";

bool IsPlain(const json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

Error BadConfig(const fs::path& file, const std::string& what, const std::string& hint = {}) {
  return InvalidError("'" + file.string() + "': " + what, hint);
}

// {pattern: value} in the order of the file: the first that matches counts.
template <class T>
void ReadPatterns(const ordered_json& config, const char* key, LoraConfig::Patterns<T>* out) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return;
  for (const auto& [pattern, value] : it->items()) out->emplace_back(pattern, value.template get<T>());
}

// A regular expression, a list of names, or null.
TargetModules ReadTargets(const ordered_json& targets) {
  if (targets.is_null()) return {};
  if (targets.is_string()) return {{}, targets.get<std::string>()};
  return {targets.get<std::vector<std::string>>(), ""};
}

// 32 for 32.0, because PEFT writes whole alphas as integers.
json Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

std::string TensorName(const std::string& module, char matrix) {
  return kPrefix + module + ".lora_" + matrix + ".weight";
}

// Every tensor of an adapter under PEFT's name.
std::vector<std::pair<std::string, at::Tensor>> NamedTensors(const LoraSet& lora) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& module : lora.modules()) {
    tensors.emplace_back(TensorName(module.name, 'A'), module.a.detach());
    tensors.emplace_back(TensorName(module.name, 'B'), module.b.detach());
    if (module.magnitude.defined()) {
      tensors.emplace_back(kPrefix + module.name + kMagnitude, module.magnitude.detach());
    }
  }
  for (const auto& saved : lora.saved())
    tensors.emplace_back(kPrefix + saved.slot.name, saved.value.detach());
  return tensors;
}

// The module and the matrix ('A' or 'B') of a tensor's name.
struct Place {
  std::string module;
  char matrix;
};
std::optional<Place> ParseName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(sizeof kPrefix - 1);
  for (const char matrix : {'A', 'B'}) {
    const std::string tail = std::string(".lora_") + matrix + ".weight";
    if (name.ends_with(tail)) return Place{std::string(name.substr(0, name.size() - tail.size())), matrix};
  }
  return std::nullopt;
}

// fp32 copy of a tensor of the file.
Result<at::Tensor> ReadTensor(const formats::SafetensorsTensor& tensor, const fs::path& file) {
  const auto type = formats::ParseDType(tensor.dtype);
  if (!type) {
    return BadConfig(file,
                     "tensor '" + tensor.name + "' has type " + tensor.dtype + ", expected F32, F16 or BF16");
  }
  at::Tensor out = at::empty(tensor.shape, at::kFloat);
  formats::ConvertElements(tensor.data, *type, out.mutable_data_ptr(), formats::DType::kF32, tensor.elements);
  return out;
}

std::string ShapeText(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

Result<LoraConfig> ReadAdapterConfig(const fs::path& folder) {
  const fs::path file = folder / kConfigFile;
  GF_TRY(const std::string text, ReadFile(file, 16 << 20));
  const auto config = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return BadConfig(file, "is not a JSON object");
  if (config.value("peft_type", json()) != "LORA") {
    return BadConfig(file,
                     "peft_type is " + config.value("peft_type", json()).dump() + ", expected \"LORA\"");
  }
  for (const char* key : kRefused) {
    if (const auto it = config.find(key); it != config.end() && !IsPlain(*it)) {
      return MakeError(
          Code::kUnsupported,
          "'" + file.string() + "': " + key + " is " + it->dump() + ", which genflow does not compute",
          "merge the adapter into its base with PEFT, or train it as a plain LoRA");
    }
  }
  if (const json bias = config.value("bias", json("none")); bias != "none") {
    return MakeError(Code::kUnsupported,
                     "'" + file.string() + "': bias is " + bias.dump() + ", which genflow does not compute",
                     "train the adapter with bias \"none\"");
  }
  if (const json init = config.value("init_lora_weights", json(true));
      !init.is_boolean() && !init.is_null() &&
      std::find(std::begin(kInitialisations), std::end(kInitialisations), init) ==
          std::end(kInitialisations)) {
    return MakeError(
        Code::kUnsupported,
        "'" + file.string() + "': init_lora_weights is " + init.dump() +
            ", which changes the base weights that the adapter belongs to",
        "convert it with PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...)");
  }
  try {
    LoraConfig out;
    out.r = config.at("r").get<int64_t>();
    out.alpha = config.at("lora_alpha").get<double>();
    out.dropout = config.value("lora_dropout", 0.0);
    out.use_rslora = config.value("use_rslora", false);
    out.use_dora = !IsPlain(config.value("use_dora", ordered_json()));
    if (const json init = config.value("init_lora_weights", json()); init.is_string()) {
      out.init_lora_weights = init.get<std::string>();
    }
    if (const ordered_json saved = config.value("modules_to_save", ordered_json()); !IsPlain(saved)) {
      out.modules_to_save = saved.get<std::vector<std::string>>();
    }
    ReadPatterns(config, "rank_pattern", &out.rank_pattern);
    ReadPatterns(config, "alpha_pattern", &out.alpha_pattern);
    out.target_modules = ReadTargets(config.at("target_modules"));
    out.exclude_modules = ReadTargets(config.value("exclude_modules", ordered_json()));
    const ordered_json layers = config.value("layers_to_transform", ordered_json());
    if (layers.is_number()) {
      out.layers_to_transform = {layers.get<int64_t>()};
    } else if (!layers.is_null()) {
      out.layers_to_transform = layers.get<std::vector<int64_t>>();
    }
    return out;
  } catch (const json::exception& e) {
    return BadConfig(file, std::string("is not a LoRA configuration: ") + e.what());
  }
}

Result<LoraSet> LoadAdapter(CausalLM& model, const fs::path& folder, bool trainable) {
  GF_TRY(const LoraConfig config, ReadAdapterConfig(folder));
  const fs::path file = folder / kTensorFile;
  GF_TRY(const formats::SafetensorsFile tensors, formats::SafetensorsFile::Open(file));
  GF_TRY(LoraSet lora, AttachLora(model, config, trainable));
  const Status status = Guarded("loading the adapter", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    std::set<std::string> expected;
    for (const auto& [name, to] : NamedTensors(lora)) {
      const formats::SafetensorsTensor* from = tensors.Find(name);
      if (from == nullptr) return BadConfig(file, "tensor '" + name + "' is missing");
      if (to.sizes() != at::IntArrayRef(from->shape)) {
        return BadConfig(
            file,
            "tensor '" + name + "' has shape " + ShapeText(from->shape) + ", expected " +
                ShapeText(to.sizes()),
            "the adapter belongs to another base model, or its configuration to another adapter");
      }
      GF_TRY(const at::Tensor values, ReadTensor(*from, file));
      to.copy_(values);
      expected.insert(name);
    }
    for (const auto& tensor : tensors.tensors()) {
      if (!expected.contains(tensor.name)) {
        return BadConfig(file, "tensor '" + tensor.name + "' has no place in the model",
                         "the adapter belongs to another base model");
      }
    }
    return Ok();
  });
  lora.SetEnabled(status.ok());
  if (!status.ok()) return status.error();
  return lora;
}

namespace {

// Of an adapter that PiSSA began: one that does to the model itself what A and B do to what PiSSA left of it,
//   W + s (B A - B0 A0) = W + s [B | -B0] [A over A0],
// twice the rank with the same scaling. Changes `config` and `tensors` accordingly.
Status ConvertToUnchangedBase(const LoraSet& lora, LoraConfig* config,
                              std::vector<std::pair<std::string, at::Tensor>>* tensors) {
  if (!lora.initial().defined()) return Ok();
  const auto alpha = [&](double value) { return value * (config->use_rslora ? std::sqrt(2.0) : 2.0); };
  config->r *= 2;
  config->alpha = alpha(config->alpha);
  for (auto& [pattern, r] : config->rank_pattern) r *= 2;
  for (auto& [pattern, value] : config->alpha_pattern) value = alpha(value);
  config->init_lora_weights.clear();
  int64_t offset = 0;
  for (size_t i = 0; i < 2 * lora.modules().size(); ++i) {
    at::Tensor& tensor = (*tensors)[i].second;
    const at::Tensor began = lora.initial().narrow(0, offset, tensor.numel()).view(tensor.sizes());
    offset += tensor.numel();
    tensor = i % 2 == 0 ? at::cat({tensor, began}, 0) : at::cat({tensor, -began}, 1);
  }
  return Ok();
}

}  // namespace

Status SaveAdapter(const LoraSet& lora, const fs::path& folder, const SaveAdapterOptions& options) {
  LoraConfig from = lora.config();
  auto tensors = NamedTensors(lora);
  GF_CHECK_OK(Guarded("saving", [&] { return ConvertToUnchangedBase(lora, &from, &tensors); }));
  ordered_json config = PlainConfig();
  if (!options.base_model.empty()) config["base_model_name_or_path"] = options.base_model;
  config["r"] = from.r;
  config["lora_alpha"] = Number(from.alpha);
  config["lora_dropout"] = from.dropout;
  config["use_rslora"] = from.use_rslora;
  config["use_dora"] = from.use_dora;
  if (!from.init_lora_weights.empty()) config["init_lora_weights"] = from.init_lora_weights;
  if (!from.modules_to_save.empty()) config["modules_to_save"] = from.modules_to_save;
  for (const auto& [key, r] : from.rank_pattern) config["rank_pattern"][key] = r;
  for (const auto& [key, alpha] : from.alpha_pattern) config["alpha_pattern"][key] = Number(alpha);
  if (from.target_modules.pattern.empty()) {
    config["target_modules"] = from.target_modules.names;
  } else if (from.target_modules.pattern != "all-linear") {
    config["target_modules"] = from.target_modules.pattern;
  } else {
    // As PEFT does: the kinds of projection that "all-linear" turned out to be.
    std::set<std::string> kinds;
    for (const auto& module : lora.modules()) kinds.insert(module.name.substr(module.name.rfind('.') + 1));
    config["target_modules"] = kinds;
  }
  if (!from.exclude_modules.pattern.empty()) config["exclude_modules"] = from.exclude_modules.pattern;
  if (!from.exclude_modules.names.empty()) config["exclude_modules"] = from.exclude_modules.names;
  if (!from.layers_to_transform.empty()) config["layers_to_transform"] = from.layers_to_transform;

  GF_CHECK_OK(MakeDirectories(folder));
  GF_CHECK_OK(WriteFileAtomic(folder / kConfigFile, config.dump(2)));
  return Guarded("saving the adapter", [&]() -> Status {
    std::vector<at::Tensor> host;
    std::vector<formats::TensorView> views;
    for (const auto& [name, values] : tensors) {
      const at::Tensor& tensor = host.emplace_back(values.cpu().contiguous());
      views.push_back({name, tensor.sizes().vec(), formats::DType::kF32, tensor.const_data_ptr()});
    }
    return formats::WriteSafetensors(folder / kTensorFile, views);
  });
}

}  // namespace genflow::nn::train
