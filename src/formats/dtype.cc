#include "formats/dtype.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace genflow::formats {
namespace {

float HalfToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 0x1f, mantissa = h & 0x3ff;
  if (exponent == 0x1f) {  // NaNs become quiet, as by the CPU's instruction
    return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13) | (mantissa != 0 ? 0x400000u : 0));
  }
  if (exponent == 0) {
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00 | static_cast<uint16_t>((magnitude >> 13) & 0x3ff);
  if (magnitude >= 0x477ff000u) return sign | 0x7c00;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                       // below 2^-14: the adder rounds to a multiple of 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>(rounded >> 13);
}

void HalfToFloatScalar(const uint16_t* from, float* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = HalfToFloat(from[i]);
}
void FloatToHalfScalar(const float* from, uint16_t* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = FloatToHalf(from[i]);
}

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) void HalfToFloatF16c(const uint16_t* from, float* to, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
  HalfToFloatScalar(from + i, to + i, n - i);
}
__attribute__((target("avx,f16c"))) void FloatToHalfF16c(const float* from, uint16_t* to, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  FloatToHalfScalar(from + i, to + i, n - i);
}
__attribute__((target("avx2"))) size_t BFloatToFloatAvx2(const uint16_t* from, float* to, size_t n) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_slli_epi32(wide, 16));
  }
  return i;
}
// The upper halves of 8 floats rounded to the nearest even, in the lower halves of what it gives.
__attribute__((target("avx2"))) __m256i Rounded(const float* from) {
  const __m256 value = _mm256_loadu_ps(from);
  const __m256i bits = _mm256_castps_si256(value), upper = _mm256_srli_epi32(bits, 16);
  const __m256i half =
      _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(upper, _mm256_set1_epi32(1)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(_mm256_srli_epi32(_mm256_add_epi32(bits, half), 16),
                            _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), nan);
}
__attribute__((target("avx2"))) size_t FloatToBFloatAvx2(const float* from, uint16_t* to, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i both = _mm256_packus_epi32(Rounded(from + i), Rounded(from + i + 8));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_permute4x64_epi64(both, 0xd8));
  }
  return i;
}
// Every CPU with AVX2 has F16C, for which clang 14 has no name here.
const bool kHasAvx2 = __builtin_cpu_supports("avx2");
#endif

void HalfToFloats(const uint16_t* from, float* to, size_t n) {
#if defined(__x86_64__)
  if (kHasAvx2) return HalfToFloatF16c(from, to, n);
#endif
  HalfToFloatScalar(from, to, n);
}
void FloatsToHalf(const float* from, uint16_t* to, size_t n) {
#if defined(__x86_64__)
  if (kHasAvx2) return FloatToHalfF16c(from, to, n);
#endif
  FloatToHalfScalar(from, to, n);
}

void BFloatsToFloat(const uint16_t* from, float* to, size_t n) {
  size_t i = 0;
#if defined(__x86_64__)
  if (kHasAvx2) i = BFloatToFloatAvx2(from, to, n);
#endif
  for (; i < n; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}
void FloatsToBFloat(const float* from, uint16_t* to, size_t n) {
  size_t i = 0;
#if defined(__x86_64__)
  if (kHasAvx2) i = FloatToBFloatAvx2(from, to, n);
#endif
  for (; i < n; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
    const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    to[i] = static_cast<uint16_t>(nan ? (bits >> 16) | 0x40u : rounded);
  }
}

void ToFloat(const void* from, DType type, float* to, size_t n) {
  switch (type) {
    case DType::kF32:
      std::memcpy(to, from, n * 4);
      break;
    case DType::kF16:
      HalfToFloats(static_cast<const uint16_t*>(from), to, n);
      break;
    case DType::kBF16:
      BFloatsToFloat(static_cast<const uint16_t*>(from), to, n);
      break;
  }
}
void FromFloat(const float* from, void* to, DType type, size_t n) {
  switch (type) {
    case DType::kF32:
      std::memcpy(to, from, n * 4);
      break;
    case DType::kF16:
      FloatsToHalf(from, static_cast<uint16_t*>(to), n);
      break;
    case DType::kBF16:
      FloatsToBFloat(from, static_cast<uint16_t*>(to), n);
      break;
  }
}

}  // namespace

const char* DTypeName(DType type) {
  return type == DType::kF32 ? "float32" : type == DType::kF16 ? "float16" : "bfloat16";
}

const char* DTypeTag(DType type) {
  return type == DType::kF32 ? "F32" : type == DType::kF16 ? "F16" : "BF16";
}

std::optional<DType> ParseDType(std::string_view name) {
  if (name == "float32" || name == "F32" || name == "fp32" || name == "f32") return DType::kF32;
  if (name == "float16" || name == "F16" || name == "fp16" || name == "f16") return DType::kF16;
  if (name == "bfloat16" || name == "BF16" || name == "bf16") return DType::kBF16;
  return std::nullopt;
}

void ConvertElements(const void* from, DType from_type, void* to, DType to_type, size_t count) {
  if (count == 0) return;
  if (from_type == to_type) {
    std::memcpy(to, from, count * DTypeSize(to_type));
  } else if (to_type == DType::kF32) {
    ToFloat(from, from_type, static_cast<float*>(to), count);
  } else if (from_type == DType::kF32) {
    FromFloat(static_cast<const float*>(from), to, to_type, count);
  } else {  // between the two 16-bit types
    constexpr size_t kChunk = 1024;
    float buffer[kChunk];
    for (size_t i = 0; i < count; i += kChunk) {
      const size_t n = count - i < kChunk ? count - i : kChunk;
      ToFloat(static_cast<const uint16_t*>(from) + i, from_type, buffer, n);
      FromFloat(buffer, static_cast<uint16_t*>(to) + i, to_type, n);
    }
  }
}

}  // namespace genflow::formats
