#include "adapter/folder.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace genflow::adapter {
namespace {

// Of the names of one part the first is peft's own.
constexpr std::pair<std::string_view, Part> kTails[] = {{".lora_A.weight", Part::kA},
                                                        {".lora_B.weight", Part::kB},
                                                        {".lora_embedding_A", Part::kEmbeddingA},
                                                        {".lora_embedding_B", Part::kEmbeddingB},
                                                        {".lora_magnitude_vector", Part::kMagnitude},
                                                        {".lora_magnitude_vector.weight", Part::kMagnitude},
                                                        {".base_layer.weight", Part::kBase},
                                                        {".weight", Part::kWhole}};

}  // namespace

std::string TensorName(std::string_view module, Part part) {
  const auto* const tail = std::find_if(std::begin(kTails), std::end(kTails),
                                        [&](const auto& each) { return each.second == part; });
  return std::string(kTensorPrefix).append(module).append(tail->first);
}

std::optional<TensorPlace> ParseTensorName(std::string_view name) {
  if (!name.starts_with(kTensorPrefix)) return std::nullopt;
  name.remove_prefix(kTensorPrefix.size());
  for (const auto& [tail, part] : kTails) {
    if (name.ends_with(tail))
      return TensorPlace{std::string(name.substr(0, name.size() - tail.size())), part};
  }
  return std::nullopt;
}

}  // namespace genflow::adapter
