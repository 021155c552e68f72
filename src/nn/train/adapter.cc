#include "nn/train/adapter.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "adapter/folder.h"
#include "base/files.h"
#include "formats/safetensors.h"
#include "formats/weight_names.h"
#include "nn/guarded.h"

namespace genflow::nn::train {
namespace {

namespace fs = std::filesystem;
using adapter::kTensorFile;
using adapter::Part;
using adapter::TensorName;
using formats::ShapeText;

// Every tensor of an adapter under PEFT's name.
std::vector<std::pair<std::string, at::Tensor>> NamedTensors(const LoraSet& lora) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (const auto& module : lora.modules()) {
    tensors.emplace_back(TensorName(module.name, Part::kA), module.a.detach());
    tensors.emplace_back(TensorName(module.name, Part::kB), module.b.detach());
    if (module.magnitude.defined()) {
      tensors.emplace_back(TensorName(module.name, Part::kMagnitude), module.magnitude.detach());
    }
  }
  for (const auto& saved : lora.saved())
    tensors.emplace_back(std::string(adapter::kTensorPrefix) + saved.slot.name, saved.value.detach());
  return tensors;
}

Error BadTensor(const fs::path& file, const std::string& name, const std::string& what,
                const std::string& hint = {}) {
  return InvalidError("'" + file.string() + "': tensor '" + name + "' " + what, hint);
}

// fp32 copy of a tensor of the file.
Result<at::Tensor> ReadTensor(const formats::SafetensorsTensor& tensor, const fs::path& file) {
  const auto type = formats::ParseDType(tensor.dtype);
  if (!type) {
    return BadTensor(file, tensor.name, "has type " + tensor.dtype + ", expected F32, F16 or BF16");
  }
  at::Tensor out = at::empty(tensor.shape, at::kFloat);
  formats::ConvertElements(tensor.data, *type, out.mutable_data_ptr(), formats::DType::kF32, tensor.elements);
  return out;
}

}  // namespace

Result<LoraConfig> ReadAdapterConfig(const fs::path& folder) {
  GF_TRY(LoraConfig config, adapter::ReadLoraConfig(folder));
  GF_CHECK_OK(adapter::CheckKeepsBase(config, folder));
  return config;
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
      if (from == nullptr) return BadTensor(file, name, "is missing");
      if (to.sizes() != at::IntArrayRef(from->shape)) {
        return BadTensor(
            file, name, "has shape " + ShapeText(from->shape) + ", expected " + ShapeText(to.sizes()),
            "the adapter belongs to another base model, or its configuration to another adapter");
      }
      GF_TRY(const at::Tensor values, ReadTensor(*from, file));
      to.copy_(values);
      expected.insert(name);
    }
    for (const auto& tensor : tensors.tensors()) {
      if (!expected.contains(tensor.name)) {
        return BadTensor(file, tensor.name, "has no place in the model",
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

Status SaveAdapter(const LoraSet& lora, const fs::path& folder) {
  LoraConfig config = lora.config();
  auto tensors = NamedTensors(lora);
  GF_CHECK_OK(Guarded("saving", [&] { return ConvertToUnchangedBase(lora, &config, &tensors); }));
  if (config.target_modules.pattern == TargetModules::AllLinear().pattern) {
    // As PEFT does: the kinds of projection that "all-linear" turned out to be.
    std::set<std::string> kinds;
    for (const auto& module : lora.modules()) kinds.insert(module.name.substr(module.name.rfind('.') + 1));
    config.target_modules = {{kinds.begin(), kinds.end()}, ""};
  }
  GF_CHECK_OK(MakeDirectories(folder));
  GF_CHECK_OK(WriteFileAtomic(folder / adapter::kConfigFile, adapter::LoraConfigText(config)));
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
