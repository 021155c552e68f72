#include "nn/kernels.h"

#include <bit>
#include <cmath>

// Each function below exists once per level of the x86-64 ABI; the loader picks the best that the CPU has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GENFLOW_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GENFLOW_CLONES
#endif
#define GENFLOW_INLINE inline __attribute__((always_inline))

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

// exp(x) to about two units in the last place, branch-free so that it vectorises (Cephes' expf).
GENFLOW_INLINE float Exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const float shifted = x * 1.44269504088896341f + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const auto exponent = static_cast<uint32_t>(std::bit_cast<int32_t>(shifted) + 127) << 23;
  return p * std::bit_cast<float>(exponent);
}

GENFLOW_INLINE float Sigmoid(float x) { return 1.0f / (1.0f + Exp(-x)); }

template <class T>
GENFLOW_INLINE float NormRowOf(const T* x, const T* w, T* y, int64_t n, float eps) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const auto value = static_cast<float>(x[i]);
    sum += value * value;
  }
  const float r = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T normal = static_cast<T>(static_cast<float>(x[i]) * r);
    y[i] = static_cast<T>(static_cast<float>(w[i]) * static_cast<float>(normal));
  }
  return r;
}

template <class T>
GENFLOW_INLINE void NormBackwardRowOf(const T* x, const T* w, const T* dy, float r, T* dx, int64_t n) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < n; ++i) {
    dot += static_cast<float>(w[i]) * static_cast<float>(dy[i]) * static_cast<float>(x[i]);
  }
  const float scale = dot * r * r / static_cast<float>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    dx[i] = static_cast<T>(
        r * (static_cast<float>(w[i]) * static_cast<float>(dy[i]) - static_cast<float>(x[i]) * scale));
  }
}

template <class T>
GENFLOW_INLINE void SwiGluOf(const T* gate, const T* up, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const auto g = static_cast<float>(gate[i]);
    const T silu = static_cast<T>(g * Sigmoid(g));
    y[i] = static_cast<T>(static_cast<float>(silu) * static_cast<float>(up[i]));
  }
}

template <class T>
GENFLOW_INLINE void SwiGluBackwardOf(const T* gate, const T* up, const T* dy, T* dgate, T* dup, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const auto g = static_cast<float>(gate[i]);
    const auto d = static_cast<float>(dy[i]);
    const float sigmoid = Sigmoid(g);
    dgate[i] = static_cast<T>(d * static_cast<float>(up[i]) * sigmoid * (1.0f + g * (1.0f - sigmoid)));
    dup[i] = static_cast<T>(d * g * sigmoid);
  }
}

template <class T>
GENFLOW_INLINE void RotateHeadOf(const T* x, const float* cos, const float* sin, float sign, T* y,
                                 int64_t half) {
  const auto product = [](T a, float b) {
    return static_cast<float>(static_cast<T>(static_cast<float>(a) * b));
  };
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const auto c = static_cast<float>(static_cast<T>(cos[i]));
    const float s = static_cast<float>(static_cast<T>(sin[i])) * sign;
    const T a = x[i], b = x[half + i];
    y[i] = static_cast<T>(product(a, c) - product(b, s));
    y[half + i] = static_cast<T>(product(b, c) + product(a, s));
  }
}

}  // namespace

GENFLOW_CLONES float NormRow(const float* x, const float* w, float* y, int64_t n, float eps) {
  return NormRowOf(x, w, y, n, eps);
}
GENFLOW_CLONES float NormRow(const BFloat16* x, const BFloat16* w, BFloat16* y, int64_t n, float eps) {
  return NormRowOf(x, w, y, n, eps);
}
GENFLOW_CLONES void NormBackwardRow(const float* x, const float* w, const float* dy, float r, float* dx,
                                    int64_t n) {
  NormBackwardRowOf(x, w, dy, r, dx, n);
}
GENFLOW_CLONES void NormBackwardRow(const BFloat16* x, const BFloat16* w, const BFloat16* dy, float r,
                                    BFloat16* dx, int64_t n) {
  NormBackwardRowOf(x, w, dy, r, dx, n);
}
GENFLOW_CLONES void SwiGlu(const float* gate, const float* up, float* y, int64_t n) {
  SwiGluOf(gate, up, y, n);
}
GENFLOW_CLONES void SwiGlu(const BFloat16* gate, const BFloat16* up, BFloat16* y, int64_t n) {
  SwiGluOf(gate, up, y, n);
}
GENFLOW_CLONES void SwiGluBackward(const float* gate, const float* up, const float* dy, float* dgate,
                                   float* dup, int64_t n) {
  SwiGluBackwardOf(gate, up, dy, dgate, dup, n);
}
GENFLOW_CLONES void SwiGluBackward(const BFloat16* gate, const BFloat16* up, const BFloat16* dy,
                                   BFloat16* dgate, BFloat16* dup, int64_t n) {
  SwiGluBackwardOf(gate, up, dy, dgate, dup, n);
}
GENFLOW_CLONES void RotateHead(const float* x, const float* cos, const float* sin, float sign, float* y,
                               int64_t half) {
  RotateHeadOf(x, cos, sin, sign, y, half);
}
GENFLOW_CLONES void RotateHead(const BFloat16* x, const float* cos, const float* sin, float sign, BFloat16* y,
                               int64_t half) {
  RotateHeadOf(x, cos, sin, sign, y, half);
}

}  // namespace genflow::nn::kernels
