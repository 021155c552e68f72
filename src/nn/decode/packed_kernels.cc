#include "nn/decode/packed_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "nn/decode/packed_vectors.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define GENFLOW_VNNI 1
#define GENFLOW_TARGET_VNNI \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
#endif

namespace genflow::nn::kernels {
namespace {

template <class Layout, int kTokens>
GENFLOW_INLINE void PanelTile(const uint8_t* panel, int64_t columns, const float* x, const float* sums,
                              float* y, int64_t y_stride, int64_t rows) {
  constexpr int kGroup = Layout::kGroup;
  Vec totals[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) totals[t] = Vec{};
  for (int64_t begin = 0; begin < columns; begin += Layout::kColumns, panel += Layout::kBytes) {
    Vec partial[kTokens];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) partial[t] = Vec{};
    for (int g = 0; g < Layout::kColumns / kGroup; ++g) {
      Words group;
      std::memcpy(&group, panel + g * 64, sizeof group);
      for (int c = 0; c < kGroup; ++c) {
        Vec weights;
        Column<Layout>(group, c, weights);
#pragma GCC unroll 8
        for (int t = 0; t < kTokens; ++t) partial[t] += weights * x[t * columns + begin + g * kGroup + c];
      }
    }
    Vec scales, minima;
    LoadScales<Layout>(panel + Layout::kWeightBytes, scales);
    if constexpr (Layout::kMinima)
      LoadScales<Layout>(panel + Layout::kWeightBytes + Layout::kScaleBytes, minima);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      totals[t] += partial[t] * scales;
      if constexpr (Layout::kMinima) {
        const float* const sum = sums + (t * columns + begin) / 16;
        totals[t] += minima * (sum[0] + sum[1]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) std::memcpy(y + t * y_stride, &totals[t], sizeof(float) * rows);
}

template <class Layout>
GENFLOW_INLINE void PanelTiles(const uint8_t* panel, int64_t columns, const float* x, const float* sums,
                               int64_t n, float* y, int64_t y_stride, int64_t rows) {
  int64_t t = 0;
  for (; t + 4 <= n; t += 4) {
    PanelTile<Layout, 4>(panel, columns, x + t * columns, sums + t * columns / 16, y + t * y_stride, y_stride,
                         rows);
  }
  for (; t < n; ++t) {
    PanelTile<Layout, 1>(panel, columns, x + t * columns, sums + t * columns / 16, y + t * y_stride, y_stride,
                         rows);
  }
}

#if GENFLOW_VNNI

template <class Layout>
GENFLOW_TARGET_VNNI inline __attribute__((always_inline)) __m512 WideScales(const uint8_t* from) {
  if constexpr (Layout::kWideScales) {
    return _mm512_loadu_ps(from);
  } else {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
}

template <class Layout, int kTokens>
GENFLOW_TARGET_VNNI inline __attribute__((always_inline)) void RoundedTile(const uint8_t* panel,
                                                                           int64_t columns, const int8_t* q,
                                                                           const float* scales,
                                                                           const float* sums, float* y,
                                                                           int64_t y_stride, __mmask16 mask) {
  constexpr int kSteps = Layout::kColumns / 4;
  __m512 totals[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) totals[t] = _mm512_setzero_ps();
  for (int64_t begin = 0; begin < columns; begin += Layout::kColumns, panel += Layout::kBytes) {
#pragma GCC unroll 16
    for (size_t i = 0; i < Layout::kBytes; i += 64) __builtin_prefetch(panel + kReadAhead + i);
    __m512i weights[kSteps];
    if constexpr (Layout::kBits == 8) {
#pragma GCC unroll 8
      for (int i = 0; i < kSteps; ++i) weights[i] = _mm512_loadu_si512(panel + i * 64);
    } else {
      const __m512i low = _mm512_set1_epi8(0xf);
#pragma GCC unroll 4
      for (int i = 0; i < kSteps; i += 2) {
        const __m512i both = _mm512_loadu_si512(panel + i * 32);
        weights[i] = _mm512_and_si512(both, low);
        weights[i + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
      }
    }
    const __m512 weight_scales = WideScales<Layout>(panel + Layout::kWeightBytes);
    __m512 minima = _mm512_setzero_ps();
    if constexpr (Layout::kMinima)
      minima = WideScales<Layout>(panel + Layout::kWeightBytes + Layout::kScaleBytes);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const int8_t* const token = q + t * columns + begin;
      __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
#pragma GCC unroll 8
      for (int i = 0; i < kSteps; i += 2) {
        int32_t four[2];
        std::memcpy(four, token + 4 * i, sizeof four);
        even = _mm512_dpbusd_epi32(even, weights[i], _mm512_set1_epi32(four[0]));
        odd = _mm512_dpbusd_epi32(odd, weights[i + 1], _mm512_set1_epi32(four[1]));
      }
      const __m512 products = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
      const float* const sum = sums + (t * columns + begin) / 16;
      const float all = Layout::kColumns == 32 ? sum[0] + sum[1] : sum[0];
      const float scale = scales[(t * columns + begin) / 32];
      if constexpr (Layout::kMinima) {
        totals[t] = _mm512_fmadd_ps(products, _mm512_mul_ps(weight_scales, _mm512_set1_ps(scale)), totals[t]);
        totals[t] = _mm512_fmadd_ps(minima, _mm512_set1_ps(scale * all), totals[t]);
      } else {
        const __m512 centred = _mm512_sub_ps(products, _mm512_set1_ps(Layout::kOffset * all));
        totals[t] = _mm512_fmadd_ps(centred, _mm512_mul_ps(weight_scales, _mm512_set1_ps(scale)), totals[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) _mm512_mask_storeu_ps(y + t * y_stride, mask, totals[t]);
}

template <class Layout>
GENFLOW_TARGET_VNNI void RoundedTiles(const uint8_t* panel, int64_t columns, const int8_t* q,
                                      const float* scales, const float* sums, int64_t n, float* y,
                                      int64_t y_stride, int64_t rows) {
  const auto mask = static_cast<__mmask16>((1u << rows) - 1);
  const auto tile = [&](auto tokens, int64_t t) GENFLOW_TARGET_VNNI {
    RoundedTile<Layout, tokens.value>(panel, columns, q + t * columns, scales + t * columns / 32,
                                      sums + t * columns / 16, y + t * y_stride, y_stride, mask);
  };
  int64_t t = 0;
  for (; t + 8 <= n; t += 8) tile(std::integral_constant<int, 8>{}, t);
  for (; t + 4 <= n; t += 4) tile(std::integral_constant<int, 4>{}, t);
  for (; t + 2 <= n; t += 2) tile(std::integral_constant<int, 2>{}, t);
  for (; t < n; ++t) tile(std::integral_constant<int, 1>{}, t);
}

#endif

GENFLOW_INLINE void RoundRowOf(const float* x, int64_t columns, int8_t* q, float* scales, float* sums) {
  for (int64_t b = 0; b < columns; b += 32) {
    float largest = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < 32; ++i) {
      const float size = x[b + i] < 0 ? -x[b + i] : x[b + i];
      largest = size > largest ? size : largest;
    }
    const float scale = largest / 127.0f;
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    scales[b / 32] = scale;
    for (int64_t half = 0; half < 2; ++half) {
      int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < 16; ++i) {
        const float value = x[b + half * 16 + i] * inverse + kRound;
        const int32_t rounded = std::bit_cast<int32_t>(value) - std::bit_cast<int32_t>(kRound);
        q[b + half * 16 + i] = static_cast<int8_t>(rounded);
        sum += rounded;
      }
      sums[b / 16 + half] = static_cast<float>(sum);
    }
  }
}

GENFLOW_INLINE void SumRowOf(const float* x, int64_t columns, float* sums) {
  for (int64_t b = 0; b < columns; b += 16) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < 16; ++i) sum += x[b + i];
    sums[b / 16] = sum;
  }
}

}  // namespace

// Clones cannot be templates.
#define GENFLOW_PANEL(Layout)                                                                          \
  GENFLOW_CLONES static void Clone##Layout(const uint8_t* panel, int64_t columns, const float* x,      \
                                           const float* sums, int64_t n, float* y, int64_t y_stride,   \
                                           int64_t rows) {                                             \
    PanelTiles<Layout>(panel, columns, x, sums, n, y, y_stride, rows);                                 \
  }                                                                                                    \
  template <>                                                                                          \
  void MultiplyPanel<Layout>(const uint8_t* panel, int64_t columns, const float* x, const float* sums, \
                             int64_t n, float* y, int64_t y_stride, int64_t rows) {                    \
    Clone##Layout(panel, columns, x, sums, n, y, y_stride, rows);                                      \
  }
GENFLOW_PANEL(LayoutQ40)
GENFLOW_PANEL(LayoutQ41)
GENFLOW_PANEL(LayoutQ50)
GENFLOW_PANEL(LayoutQ51)
GENFLOW_PANEL(LayoutQ80)
GENFLOW_PANEL(LayoutQ4K)
GENFLOW_PANEL(LayoutQ5K)
GENFLOW_PANEL(LayoutQ6K)
#undef GENFLOW_PANEL

template <class Layout>
void MultiplyPanelRounded([[maybe_unused]] const uint8_t* panel, [[maybe_unused]] int64_t columns,
                          [[maybe_unused]] const int8_t* q, [[maybe_unused]] const float* scales,
                          [[maybe_unused]] const float* sums, [[maybe_unused]] int64_t n,
                          [[maybe_unused]] float* y, [[maybe_unused]] int64_t y_stride,
                          [[maybe_unused]] int64_t rows) {
#if GENFLOW_VNNI
  RoundedTiles<Layout>(panel, columns, q, scales, sums, n, y, y_stride, rows);
#endif
}
#define GENFLOW_ROUNDED(Layout)                                                                    \
  template void MultiplyPanelRounded<Layout>(const uint8_t*, int64_t, const int8_t*, const float*, \
                                             const float*, int64_t, float*, int64_t, int64_t);
GENFLOW_ROUNDED(LayoutQ40)
GENFLOW_ROUNDED(LayoutQ41)
GENFLOW_ROUNDED(LayoutQ50)
GENFLOW_ROUNDED(LayoutQ51)
GENFLOW_ROUNDED(LayoutQ80)
GENFLOW_ROUNDED(LayoutQ4K)
GENFLOW_ROUNDED(LayoutQ5K)
GENFLOW_ROUNDED(LayoutQ6K)
#undef GENFLOW_ROUNDED

GENFLOW_CLONES void RoundRow(const float* x, int64_t columns, int8_t* q, float* scales, float* sums) {
  RoundRowOf(x, columns, q, scales, sums);
}
GENFLOW_CLONES void SumRow(const float* x, int64_t columns, float* sums) { SumRowOf(x, columns, sums); }

float FromHalf(uint16_t half) { return WideHalf(half); }

bool HasRoundedProducts() {
#if GENFLOW_VNNI
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vnni");
  return has;
#else
  return false;
#endif
}

}  // namespace genflow::nn::kernels
