#include "formats/gguf_quantization.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "formats/gguf.h"

namespace genflow::formats {
namespace {

struct Named {
  GgufType type;
  std::string_view name;
  uint32_t file_type;  // enum llama_ftype
  int32_t matrices;
};
constexpr Named kTypes[] = {{GgufType::kF32, "f32", 0, GgmlType::kF32},
                            {GgufType::kF16, "f16", 1, GgmlType::kF16},
                            {GgufType::kBF16, "bf16", 32, GgmlType::kBF16},
                            {GgufType::kQ8_0, "q8_0", 7, GgmlType::kQ8_0},
                            {GgufType::kQ4_K_M, "q4_k_m", 15, GgmlType::kQ4_K}};

const Named& Entry(GgufType type) {
  return *std::find_if(std::begin(kTypes), std::end(kTypes),
                       [type](const Named& named) { return named.type == type; });
}

// 3 for "blk.3.attn_v.weight"; -1 outside of the layers.
int64_t BlockOf(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  int64_t layer = -1;
  std::from_chars(name.data(), name.data() + name.size(), layer);
  return layer;
}

// The first and the last eighth of the layers, and every third between them.
bool UseMoreBits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

bool Fits(int64_t columns, int32_t type) { return GgmlRowBytes(type, static_cast<uint64_t>(columns)).ok(); }

int32_t Fallback(int64_t columns, int32_t type) {
  if (Fits(columns, type)) return type;
  if (type == GgmlType::kQ4_K) type = GgmlType::kQ5_0;
  if (type == GgmlType::kQ5_K) type = GgmlType::kQ5_1;
  if (type == GgmlType::kQ6_K) type = GgmlType::kQ8_0;
  return Fits(columns, type) ? type : GgmlType::kF16;
}

int32_t MixedType(std::string_view name, int64_t columns, const GgufLayout& layout) {
  if (name == "output.weight" || (layout.tied && name == "token_embd.weight"))
    return Fits(columns, GgmlType::kQ4_K) ? GgmlType::kQ6_K : GgmlType::kQ8_0;
  const bool more = UseMoreBits(BlockOf(name), layout.layers);
  if (name.ends_with(".attn_v.weight")) {
    return more ? GgmlType::kQ6_K : layout.shared_v ? GgmlType::kQ5_K : GgmlType::kQ4_K;
  }
  if (name.ends_with(".ffn_down.weight") && more) return GgmlType::kQ6_K;
  return GgmlType::kQ4_K;
}

}  // namespace

std::string_view GgufTypeName(GgufType type) { return Entry(type).name; }

std::optional<GgufType> ParseGgufType(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const Named& named : kTypes) {
    if (named.name == lower) return named.type;
  }
  return std::nullopt;
}

uint32_t GgufFileType(GgufType type) { return Entry(type).file_type; }

int32_t TensorType(GgufType type, std::string_view name, const std::vector<int64_t>& shape,
                   const GgufLayout& layout) {
  if (shape.size() < 2 || name.ends_with("_norm.weight")) return GgmlType::kF32;
  const int32_t matrices = Entry(type).matrices;
  if (!IsQuantized(type)) return matrices;
  return Fallback(shape.back(), type == GgufType::kQ4_K_M ? MixedType(name, shape.back(), layout) : matrices);
}

}  // namespace genflow::formats
