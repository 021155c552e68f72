// The only file that calls ggml.
#include <ggml.h>

#include <cmath>

#include "formats/gguf.h"

namespace genflow::formats {
namespace {

// The traits of a type that tensors on disk may have, or nullptr.
const ggml_type_traits* Traits(int32_t type) {
  if (type < 0 || type >= GGML_TYPE_COUNT) return nullptr;
  const auto* traits = ggml_get_type_traits(static_cast<ggml_type>(type));
  return traits->type_name != nullptr && traits->blck_size > 0 && traits->type_size > 0 ? traits : nullptr;
}

}  // namespace

std::string GgmlTypeName(int32_t type) {
  const auto* traits = Traits(type);
  if (traits == nullptr) return "type " + std::to_string(type);
  std::string name = traits->type_name;
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return name;
}

Result<uint64_t> GgmlRowBytes(int32_t type, uint64_t columns) {
  const auto* traits = Traits(type);
  if (traits == nullptr) {
    return MakeError(Code::kUnsupported, "GGML tensor type " + std::to_string(type) + " is unknown",
                     "the file was made by a newer or much older llama.cpp");
  }
  const auto block = static_cast<uint64_t>(traits->blck_size);
  if (columns % block != 0) {
    return MakeError(Code::kCorrupt, "a row of " + std::to_string(columns) + " elements is not whole " +
                                         GgmlTypeName(type) + " blocks of " + std::to_string(block));
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(columns / block, static_cast<uint64_t>(traits->type_size), &bytes)) {
    return MakeError(Code::kCorrupt,
                     "a row of " + std::to_string(columns) + " elements does not fit 64 bits");
  }
  return bytes;
}

Status DequantizeRows(int32_t type, const std::byte* data, uint64_t rows, uint64_t columns, float* to) {
  GF_TRY(const uint64_t row_bytes, GgmlRowBytes(type, columns));
  if (type == GGML_TYPE_F32) {
    ConvertElements(data, DType::kF32, to, DType::kF32, rows * columns);
    return Ok();
  }
  if (type == GGML_TYPE_F16 || type == GGML_TYPE_BF16) {
    ConvertElements(data, type == GGML_TYPE_F16 ? DType::kF16 : DType::kBF16, to, DType::kF32,
                    rows * columns);
    return Ok();
  }
  const auto* traits = Traits(type);
  if (traits->to_float == nullptr) {
    return MakeError(Code::kUnsupported, "GGML tensor type " + GgmlTypeName(type) + " cannot hold weights");
  }
  for (uint64_t row = 0; row < rows; ++row) {
    traits->to_float(data + row * row_bytes, to + row * columns, static_cast<int64_t>(columns));
  }
  return Ok();
}

bool IsQuantized(int32_t type) {
  const auto* traits = Traits(type);
  return traits != nullptr && traits->is_quantized;
}

static_assert(GgmlType::kF32 == GGML_TYPE_F32 && GgmlType::kF16 == GGML_TYPE_F16 &&
              GgmlType::kQ5_0 == GGML_TYPE_Q5_0 && GgmlType::kQ5_1 == GGML_TYPE_Q5_1 &&
              GgmlType::kQ8_0 == GGML_TYPE_Q8_0 && GgmlType::kQ4_K == GGML_TYPE_Q4_K &&
              GgmlType::kQ5_K == GGML_TYPE_Q5_K && GgmlType::kQ6_K == GGML_TYPE_Q6_K &&
              GgmlType::kBF16 == GGML_TYPE_BF16);

Status QuantizeRows(int32_t type, const float* from, uint64_t rows, uint64_t columns, std::byte* to) {
  GF_TRY([[maybe_unused]] const uint64_t row_bytes, GgmlRowBytes(type, columns));
  const uint64_t count = rows * columns;
  if (type == GgmlType::kF16 || type == GgmlType::kBF16 || type == GgmlType::kF32) {
    ConvertElements(from, DType::kF32, to,
                    type == GgmlType::kF32   ? DType::kF32
                    : type == GgmlType::kF16 ? DType::kF16
                                             : DType::kBF16,
                    count);
    return Ok();
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (!std::isfinite(from[i]))
      return InvalidError("holds a NaN or an infinity, which " + GgmlTypeName(type) + " has no code for");
  }
  ggml_quantize_chunk(static_cast<ggml_type>(type), from, to, 0, static_cast<int64_t>(rows),
                      static_cast<int64_t>(columns), nullptr);
  return Ok();
}

}  // namespace genflow::formats
