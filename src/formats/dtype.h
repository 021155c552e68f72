// Element types that genflow computes with, and conversion between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace genflow::formats {

enum class DType { kF32, kF16, kBF16 };

constexpr size_t DTypeSize(DType type) { return type == DType::kF32 ? 4 : 2; }
// As in config.json: "float32", "float16", "bfloat16".
const char* DTypeName(DType type);
// As in safetensors headers: "F32", "F16", "BF16".
const char* DTypeTag(DType type);
// Accepts both spellings and "fp32", "fp16", "bf16", "f32", "f16".
std::optional<DType> ParseDType(std::string_view name);

// `count` elements from one type to another, rounding to nearest even. Buffers do not overlap.
void ConvertElements(const void* from, DType from_type, void* to, DType to_type, size_t count);

}  // namespace genflow::formats
