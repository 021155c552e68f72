// How the weights of a GGUF are stored, under the names of llama.cpp's llama-quantize.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace genflow::formats {

// kQ4_K_M is a mixture: most matrices Q4_K, those that suffer most Q6_K.
enum class GgufType { kF32, kF16, kBF16, kQ8_0, kQ4_K_M };

// "f32", "f16", "bf16", "q8_0", "q4_k_m".
std::string_view GgufTypeName(GgufType type);
// Also in upper case.
std::optional<GgufType> ParseGgufType(std::string_view name);
// Whether its matrices hold blocks of rounded numbers.
inline bool IsQuantized(GgufType type) { return type == GgufType::kQ8_0 || type == GgufType::kQ4_K_M; }
// general.file_type
uint32_t GgufFileType(GgufType type);

// What the choice of a tensor's type depends on besides the tensor.
struct GgufLayout {
  int64_t layers = 0;
  bool tied = false;      // no "output.weight": the token embedding is the output, too
  bool shared_v = false;  // 80 layers whose heads share keys and values, a case of its own in llama.cpp
};

// The ggml type of a tensor under its GGUF name, `shape` outermost first: what llama-quantize of llama.cpp
// chooses for dense llama, qwen2 and qwen3 models without an importance matrix. Vectors and norms are F32. A
// row that is not whole blocks of the type falls back to one of smaller blocks, and to F16 in the end.
int32_t TensorType(GgufType type, std::string_view name, const std::vector<int64_t>& shape,
                   const GgufLayout& layout);

}  // namespace genflow::formats
