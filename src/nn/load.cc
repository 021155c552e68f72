// Fills a model with the tensors of a file.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/strings.h"
#include "formats/model_source.h"
#include "formats/weight_names.h"
#include "nn/device.h"
#include "nn/guarded.h"
#include "nn/model.h"
#include "nn/quantized_weight.h"
#include "nn/registry.h"

namespace genflow::nn {
namespace {

using formats::ShapeText;

// Buffers that old checkpoints carry and no model reads.
bool IsIgnored(std::string_view name) { return name.ends_with("rotary_emb.inv_freq"); }

Result<formats::DType> FileType(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return formats::DType::kF32;
    case at::kBFloat16:
      return formats::DType::kBF16;
    case at::kHalf:
      return formats::DType::kF16;
    default:
      return MakeError(Code::kInternal, "weights cannot be loaded as " + DtypeName(dtype));
  }
}

Status CheckNames(const formats::ModelSource& source, const ModelConfig& config,
                  const std::vector<WeightSlot>& slots) {
  const std::string where = "model " + source.path().string();
  std::unordered_set<std::string_view> wanted;
  for (const auto& [name, tensor, quantized] : slots) {
    wanted.insert(name);
    const formats::TensorInfo* info = source.Find(name);
    if (info == nullptr) {
      return MakeError(Code::kCorrupt, where + " has no tensor '" + name + "', which its config asks for",
                       "download the model again, or correct its config.json");
    }
    if (!std::ranges::equal(info->shape, tensor->sizes())) {
      return MakeError(Code::kCorrupt,
                       where + ": tensor '" + name + "' has shape " + ShapeText(info->shape) +
                           ", its config asks for " + ShapeText(tensor->sizes()),
                       "download the model again, or correct its config.json");
    }
  }
  for (const formats::TensorInfo& info : source.tensors()) {
    if (wanted.contains(info.name) || IsIgnored(info.name)) continue;
    if (info.name == formats::kHeadWeight && config.tie_word_embeddings) continue;
    return MakeError(
        Code::kUnsupported,
        where + " holds tensor '" + info.name + "', which " + config.architecture + " does not have",
        "the model may be of another architecture than its config.json says");
  }
  return Ok();
}

// Smaller tensors are copied: a map of theirs would save nothing.
constexpr uint64_t kSmallestMapped = 64 << 10;

// The tensor in the file's map, which gives its pages back when it goes; undefined where the file holds it in
// another type or order.
at::Tensor Mapped(const formats::ModelSource& source, const std::string& name, at::IntArrayRef shape,
                  at::ScalarType dtype, formats::DType type) {
  if (source.Find(name)->elements * formats::DTypeSize(type) < kSmallestMapped) return {};
  const void* const data = source.Raw(name, type);
  if (data == nullptr) return {};
  return at::from_blob(
      const_cast<void*>(data), shape, [source, name](void*) { source.GiveBack(name); }, dtype);
}

}  // namespace

Result<std::shared_ptr<CausalLM>> LoadCausalLM(const formats::ModelSource& source,
                                               const LoadOptions& options) {
  GF_TRY(ModelConfig config, ParseModelConfig(source.config()));
  GF_TRY(const formats::DType file_type, FileType(options.dtype));
  const Quantization quantization = options.quantization;
  if (quantization == Quantization::kGguf && source.format() != formats::ModelSource::Format::kGguf) {
    return InvalidError("model " + source.path().string() + " is no GGUF, whose quantisation could be kept",
                        "quantization int8 or nf4 quantises any model");
  }
  return Guarded("loading model " + source.path().string(), [&]() -> Result<std::shared_ptr<CausalLM>> {
    GF_TRY(std::shared_ptr<CausalLM> model,
           BuildShape(config, options.dtype, options.device, /*tensors=*/at::kMeta));
    std::vector<WeightSlot> slots = model->WeightSlots();
    std::erase_if(slots, [](const WeightSlot& slot) { return !slot.tensor->defined(); });  // a tied head
    GF_CHECK_OK(CheckNames(source, config, slots));
    std::set<std::string> projections;
    model->ForEachLinear([&](const std::string& name, Linear&) { projections.insert(name + ".weight"); });

    const auto total = static_cast<int64_t>(slots.size());
    int64_t done = 0;
    for (const auto& [name, weight, place] : slots) {
      std::shared_ptr<const QuantizedWeight> quantized;
      const bool rounds = projections.contains(name) &&
                          (quantization == Quantization::kInt8 || quantization == Quantization::kNf4);
      at::Tensor held;
      if (options.read_only && options.device.is_cpu() && !rounds)
        held = Mapped(source, name, weight->sizes(), options.dtype, file_type);
      if (!held.defined() && quantization == Quantization::kGguf && place != nullptr)
        quantized = GgmlWeight(source, name, options.device);
      if (!quantized && !held.defined()) {
        // For a GPU, tensors are read into host memory one at a time and copied over.
        const at::Tensor host = at::empty(weight->sizes(), options.dtype);
        GF_CHECK_OK(source.Read(name, file_type, host.mutable_data_ptr(), at::get_num_threads()));
        source.GiveBack(name);
        if (rounds) {
          quantized = quantization == Quantization::kInt8 ? QuantizeInt8(host, options.device)
                                                          : QuantizeNf4(host, options.device);
        } else {
          held = host.to(options.device);
        }
      }
      *weight = std::move(held);
      if (quantized) *place = std::move(quantized);
      if (options.progress && !options.progress(++done, total)) {
        return MakeError(Code::kInterrupted, "loading model " + source.path().string() + " was stopped");
      }
    }
    return model;
  });
}

}  // namespace genflow::nn
