#include "nn/train/full.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <map>

#include "formats/model_writer.h"
#include "nn/guarded.h"

namespace genflow::nn::train {

Result<FullSet> TrainFully(CausalLM& model, at::ScalarType dtype) {
  return Guarded("preparing the model", [&]() -> Result<FullSet> {
    const c10::NoGradGuard no_grad;
    FullSet full;
    int64_t total = 0;
    for (const WeightSlot& slot : model.WeightSlots()) {
      const Matrix matrix = slot.matrix();
      if (!matrix.defined()) continue;  // a tied head
      if (matrix.quantized || matrix.tensor.scalar_type() != at::kFloat) {
        return MakeError(Code::kInternal, "weights are trained from fp32, and '" + slot.name + "' is not");
      }
      total += matrix.numel();
    }
    full.Allocate(total, model.device(), /*trainable=*/true);
    for (const WeightSlot& slot : model.WeightSlots()) {
      if (!slot.tensor->defined()) continue;
      const at::Tensor leaf = full.Take(slot.tensor->sizes(), FullSet::RoleOf(slot.name));
      leaf.detach().copy_(*slot.tensor);
      *slot.tensor = leaf;
      full.weights_.emplace_back(slot.name, leaf);
    }
    model.ComputeIn(dtype);
    return full;
  });
}

Status SaveModel(const FullSet& weights, const formats::ModelSource& base, at::ScalarType dtype,
                 const std::filesystem::path& folder) {
  const std::map<std::string, at::Tensor> named(weights.weights().begin(), weights.weights().end());
  const auto fill = [&](std::string_view name, formats::DType type, void* to, size_t bytes) -> Status {
    const auto found = named.find(std::string(name));
    if (found == named.end()) {
      return MakeError(Code::kInternal, "the model has no weight '" + std::string(name) + "'");
    }
    return Guarded("saving the model", [&]() -> Status {
      const at::Tensor values = found->second.detach().cpu();
      const auto count = static_cast<size_t>(values.numel());
      if (bytes != count * formats::DTypeSize(type)) {
        return MakeError(Code::kInternal, "the buffer for '" + std::string(name) + "' has the wrong size");
      }
      formats::ConvertElements(values.const_data_ptr(), formats::DType::kF32, to, type, count);
      return Ok();
    });
  };
  return formats::WriteHuggingFaceModel(folder, {base, fill},
                                        dtype == at::kFloat ? formats::DType::kF32 : formats::DType::kBF16);
}

}  // namespace genflow::nn::train
