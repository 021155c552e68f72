#include "nn/kernels.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "nn/vector_math.h"

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

// For a result that is rounded to T.
template <class T>
GENFLOW_INLINE float Sigmoid(float x) {
  return 1.0f / (1.0f + ExpFor<T>(-x));
}

// How many elements are widened, computed with and narrowed at a time.
constexpr int64_t kPart = 256;

template <class T>
GENFLOW_INLINE float NormRowOf(const T* x, const T* w, T* y, int64_t n, float eps) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    const auto value = Wide(x[i]);
    sum += value * value;
  }
  const float r = 1.0f / std::sqrt(sum / static_cast<float>(n) + eps);
  if constexpr (std::is_same_v<T, float>) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = w[i] * (x[i] * r);
  } else {
    float xs[kPart], ws[kPart];
    for (int64_t begin = 0; begin < n; begin += kPart) {
      const int64_t count = std::min(kPart, n - begin);
      WidenAll(x + begin, xs, count);
      WidenAll(w + begin, ws, count);
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) xs[i] = ws[i] * Rounded<T>(xs[i] * r);
      NarrowAll(xs, y + begin, count);
    }
  }
  return r;
}

template <class T>
GENFLOW_INLINE void NormBackwardRowOf(const T* x, const T* w, const T* dy, float r, const T* residual, T* dx,
                                      int64_t n) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < n; ++i) {
    dot += Wide(w[i]) * Wide(dy[i]) * Wide(x[i]);
  }
  const float scale = dot * r * r / static_cast<float>(n);
  const auto gradient = [&](int64_t i) { return r * (Wide(w[i]) * Wide(dy[i]) - Wide(x[i]) * scale); };
  if (residual == nullptr) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = Narrow<T>(gradient(i));
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) dx[i] = Narrow<T>(gradient(i) + Wide(residual[i]));
  }
}

// y = T(silu(g)) * u, of fp32 that T can hold. g is not kept.
template <class T>
GENFLOW_INLINE void SwiGluOfWide(float* g, const float* u, T* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) g[i] = Rounded<T>(g[i] * Sigmoid<T>(g[i])) * u[i];
  NarrowAll(g, y, n);
}

template <class T>
GENFLOW_INLINE void SwiGluOf(const T* gate, const T* up, T* y, int64_t n) {
  float g[kPart], u[kPart];
  for (int64_t begin = 0; begin < n; begin += kPart) {
    const int64_t count = std::min(kPart, n - begin);
    WidenAll(gate + begin, g, count);
    WidenAll(up + begin, u, count);
    SwiGluOfWide(g, u, y + begin, count);
  }
}

template <class T>
GENFLOW_INLINE void RoundSums(const float* sums, const T* bias, float* to, int64_t n) {
  if (bias != nullptr) {
    WidenAll(bias, to, n);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = Rounded<T>(sums[i] + to[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) to[i] = Rounded<T>(sums[i]);
  }
}

template <class T>
GENFLOW_INLINE void SwiGluOfSumsOf(const float* gate, const float* up, const T* gate_bias, const T* up_bias,
                                   T* y, int64_t n) {
  float g[kPart], u[kPart];
  for (int64_t begin = 0; begin < n; begin += kPart) {
    const int64_t count = std::min(kPart, n - begin);
    RoundSums(gate + begin, gate_bias == nullptr ? nullptr : gate_bias + begin, g, count);
    RoundSums(up + begin, up_bias == nullptr ? nullptr : up_bias + begin, u, count);
    SwiGluOfWide(g, u, y + begin, count);
  }
}

template <class T>
GENFLOW_INLINE void SwiGluBackwardOf(const T* gate, const T* up, T* dy, T* dgate, T* dup, int64_t n) {
  float gs[kPart], us[kPart], ds[kPart];
  for (int64_t begin = 0; begin < n; begin += kPart) {
    const int64_t count = std::min(kPart, n - begin);
    WidenAll(gate + begin, gs, count);
    WidenAll(up + begin, us, count);
    WidenAll(dy + begin, ds, count);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float g = gs[i], u = us[i], d = ds[i];
      const float sigmoid = Sigmoid<T>(g);
      gs[i] = d * u * sigmoid * (1.0f + g * (1.0f - sigmoid));
      us[i] = d * g * sigmoid;
      ds[i] = Rounded<T>(g * sigmoid) * u;
    }
    NarrowAll(gs, dgate + begin, count);
    NarrowAll(us, dup + begin, count);
    NarrowAll(ds, dy + begin, count);
  }
}

template <class T>
GENFLOW_INLINE void RotateHeadOf(const T* x, const float* cos, const float* sin, float sign, T* y,
                                 int64_t half) {
  const auto product = [](T a, float b) { return Rounded<T>(Wide(a) * b); };
  // y may be x: a part of the head is turned beside it.
  float first[kPart], second[kPart];
  for (int64_t begin = 0; begin < half; begin += kPart) {
    const int64_t count = std::min(kPart, half - begin);
    const T* const a = x + begin;
    const T* const b = a + half;
    for (int64_t i = 0; i < count; ++i) {
      const float c = Rounded<T>(cos[begin + i]);
      const float s = Rounded<T>(sin[begin + i]) * sign;
      first[i] = product(a[i], c) - product(b[i], s);
      second[i] = product(b[i], c) + product(a[i], s);
    }
    NarrowAll(first, y + begin, count);
    NarrowAll(second, y + half + begin, count);
  }
}

template <class T>
GENFLOW_INLINE float CrossEntropyRowOf(const T* logits, int64_t n, int64_t target, float scale, T* gradient,
                                       float* scratch) {
  float peak = Wide(logits[0]);
#pragma omp simd reduction(max : peak)
  for (int64_t i = 0; i < n; ++i) peak = Wide(logits[i]) > peak ? Wide(logits[i]) : peak;
  // Of so many terms, in parts, so that none is lost beside their sum.
  constexpr int64_t kTerms = 4096;
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kTerms) {
    const int64_t end = std::min(n, begin + kTerms);
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t i = begin; i < end; ++i) {
      scratch[i] = Exp(Wide(logits[i]) - peak);
      part += scratch[i];
    }
    sum += part;
  }
  const float loss = static_cast<float>(std::log(sum)) + peak - Wide(logits[target]);
  if (gradient == nullptr) return loss;
  const auto share = static_cast<float>(scale / sum);
  scratch[target] -= static_cast<float>(sum);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) gradient[i] = Narrow<T>(scratch[i] * share);
  return loss;
}

// Random bits of element `index` of a stream: a multiplicative hash of 32 bits (C. Wellons, "hash
// prospector").
GENFLOW_INLINE uint32_t Bits(uint32_t key, uint32_t index) {
  uint32_t h = index * 0x9e3779b1u + key;
  h = (h ^ (h >> 16)) * 0x21f0aaadu;
  h = (h ^ (h >> 15)) * 0x735a2d97u;
  return h ^ (h >> 15);
}

template <class T>
GENFLOW_INLINE void DropOf(const T* x, int64_t n, uint64_t seed, uint64_t first, float p, bool add, T* y) {
  // Indices of 32 bits are told apart by a key for each 2^32 of them.
  uint64_t mixed = seed ^ ((first >> 32) * 0x9e3779b97f4a7c15ull);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ull;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebull;
  const auto key = static_cast<uint32_t>(mixed >> 32);
  const auto start = static_cast<uint32_t>(first);
  const auto limit = static_cast<uint32_t>(p * 4294967296.0);
  const float scale = 1.0f / (1.0f - p);
  const auto count = static_cast<uint32_t>(n);
  if (add) {
#pragma omp simd
    for (uint32_t i = 0; i < count; ++i)
      y[i] = Narrow<T>(Wide(y[i]) + (Bits(key, start + i) < limit ? 0.0f : Wide(x[i]) * scale));
  } else {
#pragma omp simd
    for (uint32_t i = 0; i < count; ++i)
      y[i] = Narrow<T>(Bits(key, start + i) < limit ? 0.0f : Wide(x[i]) * scale);
  }
}

}  // namespace

GENFLOW_CLONES float NormRow(const float* x, const float* w, float* y, int64_t n, float eps) {
  return NormRowOf(x, w, y, n, eps);
}
GENFLOW_CLONES float NormRow(const BFloat16* x, const BFloat16* w, BFloat16* y, int64_t n, float eps) {
  return NormRowOf(x, w, y, n, eps);
}
GENFLOW_CLONES void NormBackwardRow(const float* x, const float* w, const float* dy, float r,
                                    const float* residual, float* dx, int64_t n) {
  NormBackwardRowOf(x, w, dy, r, residual, dx, n);
}
GENFLOW_CLONES void NormBackwardRow(const BFloat16* x, const BFloat16* w, const BFloat16* dy, float r,
                                    const BFloat16* residual, BFloat16* dx, int64_t n) {
  NormBackwardRowOf(x, w, dy, r, residual, dx, n);
}
GENFLOW_CLONES void SwiGlu(const float* gate, const float* up, float* y, int64_t n) {
  SwiGluOf(gate, up, y, n);
}
GENFLOW_CLONES void SwiGlu(const BFloat16* gate, const BFloat16* up, BFloat16* y, int64_t n) {
  SwiGluOf(gate, up, y, n);
}
GENFLOW_CLONES void SwiGluOfSums(const float* gate, const float* up, const float* gate_bias,
                                 const float* up_bias, float* y, int64_t n) {
  SwiGluOfSumsOf(gate, up, gate_bias, up_bias, y, n);
}
GENFLOW_CLONES void SwiGluOfSums(const float* gate, const float* up, const BFloat16* gate_bias,
                                 const BFloat16* up_bias, BFloat16* y, int64_t n) {
  SwiGluOfSumsOf(gate, up, gate_bias, up_bias, y, n);
}
GENFLOW_CLONES void SwiGluBackward(const float* gate, const float* up, float* dy, float* dgate, float* dup,
                                   int64_t n) {
  SwiGluBackwardOf(gate, up, dy, dgate, dup, n);
}
GENFLOW_CLONES void SwiGluBackward(const BFloat16* gate, const BFloat16* up, BFloat16* dy, BFloat16* dgate,
                                   BFloat16* dup, int64_t n) {
  SwiGluBackwardOf(gate, up, dy, dgate, dup, n);
}
GENFLOW_CLONES float CrossEntropyRow(const float* logits, int64_t n, int64_t target, float scale,
                                     float* gradient, float* scratch) {
  return CrossEntropyRowOf(logits, n, target, scale, gradient, scratch);
}
GENFLOW_CLONES float CrossEntropyRow(const BFloat16* logits, int64_t n, int64_t target, float scale,
                                     BFloat16* gradient, float* scratch) {
  return CrossEntropyRowOf(logits, n, target, scale, gradient, scratch);
}
GENFLOW_CLONES void Drop(const float* x, int64_t n, uint64_t seed, uint64_t first, float p, bool add,
                         float* y) {
  DropOf(x, n, seed, first, p, add, y);
}
GENFLOW_CLONES void Drop(const BFloat16* x, int64_t n, uint64_t seed, uint64_t first, float p, bool add,
                         BFloat16* y) {
  DropOf(x, n, seed, first, p, add, y);
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
