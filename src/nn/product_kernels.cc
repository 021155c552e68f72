#include "nn/product_kernels.h"

#include <algorithm>
#include <cstring>

#include "nn/vector_math.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define GENFLOW_AVX512 1
#define GENFLOW_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#endif

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

// Numbers of 32 bits: one fp32, or two bf16 that stay neighbours.
constexpr int64_t kTile = 16;

// to [depth, columns] = from^T, from [columns, depth]. Rows of `from` stand `stride` bytes apart, those of
// `to` `apart` numbers of 32 bits.
void Turn(const char* from, int64_t stride, int64_t columns, int64_t depth, uint32_t* to, int64_t apart) {
  for (int64_t c = 0; c < columns; ++c) {
    for (int64_t d = 0; d < depth; ++d) std::memcpy(to + d * apart + c, from + c * stride + d * 4, 4);
  }
}

// to: each two rows of from [depth, columns] interleaved.
void Interleave(const uint16_t* from, int64_t stride, int64_t columns, int64_t depth, uint16_t* to,
                int64_t apart) {
  for (int64_t d = 0; d < depth; d += 2) {
    const uint16_t* const a = from + d * stride;
    const uint16_t* const b = a + stride;
    uint16_t* const out = to + d * apart;
    for (int64_t c = 0; c < columns; ++c) {
      out[2 * c] = a[c];
      out[2 * c + 1] = b[c];
    }
  }
}

#ifdef GENFLOW_AVX512
bool HasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0;
  return has;
}

// 16 x 16 numbers of 32 bits, turned over in registers: within pairs of rows, pairs of those, and lanes.
GENFLOW_TARGET_AVX512 void TurnTile(const char* from, int64_t stride, uint32_t* to, int64_t apart) {
  __m512i r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(from + i * stride);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + i * apart, r[i]);
}

GENFLOW_TARGET_AVX512 void InterleaveWide(const uint16_t* from, int64_t stride, int64_t columns,
                                          int64_t depth, uint16_t* to, int64_t apart) {
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i second = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int64_t d = 0; d < depth; d += 2) {
    const uint16_t* const row = from + d * stride;
    uint16_t* const out = to + d * apart;
    for (int64_t c = 0; c < columns; c += 32) {
      const __m512i a = _mm512_loadu_si512(row + c);
      const __m512i b = _mm512_loadu_si512(row + stride + c);
      const __m512i low = _mm512_unpacklo_epi16(a, b), high = _mm512_unpackhi_epi16(a, b);
      _mm512_storeu_si512(out + 2 * c, _mm512_permutex2var_epi32(low, first, high));
      _mm512_storeu_si512(out + 2 * c + 32, _mm512_permutex2var_epi32(low, second, high));
    }
  }
}
#else
bool HasAvx512() { return false; }
void TurnTile(const char*, int64_t, uint32_t*, int64_t) {}
void InterleaveWide(const uint16_t*, int64_t, int64_t, int64_t, uint16_t*, int64_t) {}
#endif

// stride counts bytes, depth numbers of 32 bits.
void TurnAll(const char* w, int64_t stride, int64_t columns, int64_t depth, uint32_t* to, int64_t apart) {
  if (!HasAvx512()) return Turn(w, stride, columns, depth, to, apart);
  const int64_t whole_columns = columns / kTile * kTile, whole_depth = depth / kTile * kTile;
  // Sixteen rows of w at a time, so that the processor sees few streams and reads ahead.
  for (int64_t c = 0; c < whole_columns; c += kTile) {
    for (int64_t d = 0; d < whole_depth; d += kTile) {
      TurnTile(w + c * stride + d * 4, stride, to + d * apart + c, apart);
    }
  }
  Turn(w + whole_depth * 4, stride, whole_columns, depth - whole_depth, to + whole_depth * apart, apart);
  Turn(w + whole_columns * stride, stride, columns - whole_columns, depth, to + whole_columns, apart);
}

}  // namespace

void PackTurned(const float* w, int64_t stride, int64_t columns, int64_t depth, float* to, int64_t apart) {
  TurnAll(reinterpret_cast<const char*>(w), stride * static_cast<int64_t>(sizeof *w), columns, depth,
          reinterpret_cast<uint32_t*>(to), apart);
}
void PackTurned(const BFloat16* w, int64_t stride, int64_t columns, int64_t depth, BFloat16* to,
                int64_t apart) {
  TurnAll(reinterpret_cast<const char*>(w), stride * static_cast<int64_t>(sizeof *w), columns, depth / 2,
          reinterpret_cast<uint32_t*>(to), apart);
}

void PackStraight(const float* w, int64_t stride, int64_t columns, int64_t depth, float* to, int64_t apart) {
  for (int64_t d = 0; d < depth; ++d) std::copy_n(w + d * stride, columns, to + d * apart);
}
void PackStraight(const BFloat16* w, int64_t stride, int64_t columns, int64_t depth, BFloat16* to,
                  int64_t apart) {
  const auto* const from = reinterpret_cast<const uint16_t*>(w);
  auto* const out = reinterpret_cast<uint16_t*>(to);
  const int64_t whole = HasAvx512() ? columns / 32 * 32 : 0;
  if (whole > 0) InterleaveWide(from, stride, whole, depth, out, apart);
  Interleave(from + whole, stride, columns - whole, depth, out + 2 * whole, apart);
}

GENFLOW_CLONES void StoreBlock(const float* block, int64_t block_stride, int64_t rows, int64_t columns,
                               const float* bias, const float* residual, int64_t residual_stride, float* y,
                               int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* const from = block + r * block_stride;
    float* const to = y + r * stride;
    if (bias == nullptr) {
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) to[c] = from[c];
    } else {
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) to[c] = from[c] + bias[c];
    }
    if (residual == nullptr) continue;
    const float* const beside = residual + r * residual_stride;
#pragma omp simd
    for (int64_t c = 0; c < columns; ++c) to[c] += beside[c];
  }
}
GENFLOW_CLONES void StoreBlock(const float* block, int64_t block_stride, int64_t rows, int64_t columns,
                               const BFloat16* bias, const BFloat16* residual, int64_t residual_stride,
                               BFloat16* y, int64_t stride) {
  float biases[kPanel<BFloat16>], sums[kPanel<BFloat16>];
  if (bias != nullptr) WidenAll(bias, biases, columns);
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = block + r * block_stride;
    if (bias != nullptr) {
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) sums[c] = from[c] + biases[c];
      from = sums;
    }
    if (residual != nullptr) {
      float beside[kPanel<BFloat16>];
      WidenAll(residual + r * residual_stride, beside, columns);
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) sums[c] = Rounded<BFloat16>(from[c]) + beside[c];
      from = sums;
    }
    NarrowAll(from, y + r * stride, columns);
  }
}

}  // namespace genflow::nn::kernels
