// What the loops of the kernels share: how they are compiled, and an exponential that vectorises.
#pragma once

#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>
#include <type_traits>

// A function that exists once per level of the x86-64 ABI; the loader picks the best that the CPU has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GENFLOW_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GENFLOW_CLONES
#endif
#define GENFLOW_INLINE inline __attribute__((always_inline))

namespace genflow::nn::kernels {

// Bytes by which loops that memory limits fetch what they are going to read: found by timing.
inline constexpr int64_t kReadAhead = 4096;

// Between fp32 and what tensors hold; bf16 is rounded to the nearest even, as libtorch rounds, in integers
// alone. A NaN stays one if its lower half is empty, as in those of arithmetic and of widened bf16.
template <class T>
GENFLOW_INLINE float Wide(T x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return std::bit_cast<float>(static_cast<uint32_t>(x.x) << 16);
  }
}
// In the upper half.
GENFLOW_INLINE uint32_t RoundedBits(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return bits + 0x7fffu + ((bits >> 16) & 1u);
}
template <class T>
GENFLOW_INLINE T Narrow(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return c10::BFloat16(static_cast<uint16_t>(RoundedBits(x) >> 16), c10::BFloat16::from_bits());
  }
}
// What Narrow<T> makes of x, still in fp32.
template <class T>
GENFLOW_INLINE float Rounded(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    return std::bit_cast<float>(RoundedBits(x) & 0xffff0000u);
  }
}

// Of n elements, in loops of their own: one over numbers of two sizes is made of shorter vectors.
template <class T>
GENFLOW_INLINE void WidenAll(const T* from, float* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = Wide(from[i]);
}
GENFLOW_INLINE void NarrowAll(const float* from, float* to, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}
// By the processor's own instruction where it has one (AVX512_BF16), which makes zeros of what is below the
// smallest normal number.
void NarrowAll(const float* from, c10::BFloat16* to, int64_t n);

// Between which Exp has its argument, -87 and 88. They stand in another file, because a compiler that knows
// them prepares what comes of either bound for every element, and multiplies it to numbers below the smallest
// normal one: some processors take hundreds of cycles for each.
extern const float kExpLowest, kExpHighest;

GENFLOW_INLINE float InExpRange(float x) {
  x = x < kExpLowest ? kExpLowest : x;
  return x > kExpHighest ? kExpHighest : x;
}

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer

// 2^n, of n + kRound.
GENFLOW_INLINE float PowerOfTwo(float shifted) {
  return std::bit_cast<float>(static_cast<uint32_t>(std::bit_cast<int32_t>(shifted) + 127) << 23);
}

// exp(x) to about two units in the last place, branch-free so that it vectorises (Cephes' expf).
GENFLOW_INLINE float ExactExpInRange(float x) {
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * PowerOfTwo(shifted);
}
GENFLOW_INLINE float Exp(float x) { return ExactExpInRange(InExpRange(x)); }

// exp(x) for a result that is rounded to T: as Exp for fp32; to 1e-5 for bf16, a hundredth of what its
// rounding costs, in half the instructions.
template <class T>
GENFLOW_INLINE float ExpInRange(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return ExactExpInRange(x);
  } else {
    const float shifted = x * kLog2E + kRound;
    const float r = x * kLog2E - (shifted - kRound);
    float p = 0.00957009092f;  // 2^r on [-1/2, 1/2]: the polynomial with the smallest relative error, 2.6e-6
    p = p * r + 0.0559178636f;
    p = p * r + 0.240247451f;
    p = p * r + 0.693121814f;
    p = p * r + 0.999999261f;
    return p * PowerOfTwo(shifted);
  }
}
template <class T>
GENFLOW_INLINE float ExpFor(float x) {
  return ExpInRange<T>(InExpRange(x));
}
// Of an x that is not above 0 but for rounding.
template <class T>
GENFLOW_INLINE float ExpOfNegative(float x) {
  return ExpInRange<T>(x < kExpLowest ? kExpLowest : x);
}

}  // namespace genflow::nn::kernels
