// The families of models that can be built.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "nn/config.h"

namespace genflow::nn {

class CausalLM;

struct Family {
  std::string_view architecture;  // as in config.json's "architectures"
  std::string_view model_type;    // as in config.json's "model_type"
  // Gives `model` its modules, with uninitialised tensors of these options.
  void (*build)(const ModelConfig& config, const at::TensorOptions& options, CausalLM& model);
};

std::span<const Family> Families();

// A model on `device` whose weights are on `tensors`: at::kMeta where each is to be replaced.
Result<std::shared_ptr<CausalLM>> BuildShape(const ModelConfig& config, at::ScalarType dtype,
                                             at::Device device, at::Device tensors);

}  // namespace genflow::nn
