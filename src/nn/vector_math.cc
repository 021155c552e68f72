#include "nn/vector_math.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace genflow::nn::kernels {

const float kExpLowest = -87.0f;
const float kExpHighest = 88.0f;

namespace {

using c10::BFloat16;

GENFLOW_CLONES void NarrowInIntegers(const float* from, BFloat16* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = Narrow<BFloat16>(from[i]);
}

#if defined(__x86_64__) && defined(__GNUC__)
bool HasInstruction() {
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) void NarrowByInstruction(const float* from,
                                                                                         BFloat16* to,
                                                                                         int64_t n) {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    _mm512_storeu_si512(to + i, (__m512i)both);
  }
  for (; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
    const __m256bh some = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
    _mm256_mask_storeu_epi16(to + i, mask, (__m256i)some);
  }
}
#else
bool HasInstruction() { return false; }
void NarrowByInstruction(const float*, BFloat16*, int64_t) {}
#endif

}  // namespace

void NarrowAll(const float* from, BFloat16* to, int64_t n) {
  HasInstruction() ? NarrowByInstruction(from, to, n) : NarrowInIntegers(from, to, n);
}

}  // namespace genflow::nn::kernels
