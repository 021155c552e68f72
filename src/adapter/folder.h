// What a PEFT adapter folder holds: its files, and the names of its tensors.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace genflow::adapter {

inline constexpr char kConfigFile[] = "adapter_config.json", kTensorFile[] = "adapter_model.safetensors";

// Every tensor's name begins with it, the model's own name for the module or weight follows.
inline constexpr std::string_view kTensorPrefix = "base_model.model.";

enum class Part { kA, kB, kEmbeddingA, kEmbeddingB, kMagnitude, kBase, kWhole };

// The module, and which of its tensors it is.
struct TensorPlace {
  std::string module;
  Part part;
};

// As peft writes it.
std::string TensorName(std::string_view module, Part part);
// Nothing where no adapter has a tensor of this name. Knows the names of earlier versions as well.
std::optional<TensorPlace> ParseTensorName(std::string_view name);

}  // namespace genflow::adapter
