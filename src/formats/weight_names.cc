#include "formats/weight_names.h"

#include <cstdlib>

namespace genflow::formats {

int64_t LayerOf(std::string_view name) {
  constexpr std::string_view kLayers = ".layers.";
  const size_t at = name.find(kLayers);
  if (at == std::string_view::npos) return -1;
  return std::atoll(std::string(name.substr(at + kLayers.size())).c_str());
}

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace genflow::formats
