#include "nn/attention_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "nn/product_kernels.h"
#include "nn/vector_math.h"

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

template <class To, class From>
GENFLOW_INLINE To Convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else {
    return Narrow<To>(Wide(x));
  }
}

// Below any score.
constexpr float kHidden = -1e30f;

// fp32 in a vector of any of the instruction sets.
constexpr int64_t kVector = 16;

// The lanes of a vector brought together; they are not kept.
GENFLOW_INLINE float Highest(float* lanes) {
  for (int64_t half = kVector / 2; half > 0; half /= 2) {
#pragma omp simd
    for (int64_t l = 0; l < half; ++l) lanes[l] = lanes[l] > lanes[l + half] ? lanes[l] : lanes[l + half];
  }
  return lanes[0];
}
GENFLOW_INLINE float Sum(float* lanes) {
  for (int64_t half = kVector / 2; half > 0; half /= 2) {
#pragma omp simd
    for (int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// Step by step for all rows: what is one number a row is computed in vectors of rows, and the processor
// works at several rows at a time.
template <class T>
GENFLOW_INLINE void SoftmaxBlockOf(float* scores, int64_t rows, int64_t columns, int64_t offset, float scale,
                                   float* max, float* sum, float* out, int64_t dim, T* p) {
  const auto seen_by = [&](int64_t r) { return std::clamp<int64_t>(offset + r + 1, 0, columns); };
  // Behind the last column that is seen, only its vector is looked at.
  const auto read_by = [](int64_t seen) { return (seen + kVector - 1) / kVector * kVector; };
  float peaks[kBlock], shrinks[kBlock], totals[kBlock];
  for (int64_t r = 0; r < rows; ++r) {
    float* const s = scores + r * kBlock;
    const int64_t seen = seen_by(r), read = read_by(seen);
    std::fill(s + seen, s + read, kHidden);
    float lanes[kVector];
    std::fill(lanes, lanes + kVector, kHidden);
    for (int64_t c = 0; c < read; c += kVector) {
#pragma omp simd
      for (int64_t l = 0; l < kVector; ++l) lanes[l] = s[c + l] > lanes[l] ? s[c + l] : lanes[l];
    }
    peaks[r] = Highest(lanes);
  }
#pragma omp simd
  for (int64_t r = 0; r < rows; ++r) {
    const float peak = peaks[r] * scale, before = max[r];
    const float now = peak > before ? peak : before;
    const float shrink = ExpOfNegative<float>(before - now);
    shrinks[r] = before <= kHidden ? 0.0f : shrink;
    max[r] = now;
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* const s = scores + r * kBlock;
    T* const to = p + r * kBlock;
    const int64_t seen = seen_by(r), read = read_by(seen);
    const float peak = max[r];
    float lanes[kVector] = {};
    for (int64_t c = 0; c < read; c += kVector) {
#pragma omp simd
      for (int64_t l = 0; l < kVector; ++l) {
        const float e = ExpOfNegative<T>(s[c + l] * scale - peak);
        lanes[l] += e;
        s[c + l] = e;
      }
    }
    // What is hidden has left the least exponential, which no sum that counts can hold.
    std::fill(s + seen, s + read, 0.0f);
    NarrowAll(s, to, read);
    std::fill(to + read, to + columns, T(0.0f));
    totals[r] = Sum(lanes);
  }
#pragma omp simd
  for (int64_t r = 0; r < rows; ++r) sum[r] = sum[r] * shrinks[r] + totals[r];
  for (int64_t r = 0; r < rows; ++r) {
    if (shrinks[r] == 1.0f) continue;
    float* const o = out + r * dim;
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) o[i] *= shrinks[r];
  }
}

template <class T>
GENFLOW_INLINE void GradientBlockOf(const float* scores, const float* dp, int64_t keys, int64_t queries,
                                    int64_t offset, float scale, const float* lse, const float* delta, T* p,
                                    T* ds, T* ds_pairs) {
  for (int64_t c = 0; c < keys; ++c) {
    const float* const s = scores + c * kBlock;
    const float* const d = dp + c * kBlock;
    T* const to_p = p + c * kBlock;
    T* const to_ds = ds + c * kBlock;
    const auto first = static_cast<int32_t>(c - offset);  // the first query that sees this key
    const auto count = static_cast<int32_t>(queries);
    float weights[kBlock], gradients[kBlock];
#pragma omp simd
    for (int32_t r = 0; r < count; ++r) {
      const float exponent = s[r] * scale - lse[r];
      const float weight = r < first || exponent <= -80.0f ? 0.0f : ExpFor<T>(exponent);
      gradients[r] = scale * weight * (d[r] - delta[r]);
      weights[r] = weight;
    }
    NarrowAll(gradients, to_ds, count);
    NarrowAll(weights, to_p, count);
  }
  if (ds_pairs == nullptr) return;
  for (int64_t c = 0; c < keys; c += 2) {
    const T* const a = ds + c * kBlock;
    const T* const b = a + kBlock;
    T* const to = ds_pairs + c * kBlock;
#pragma omp simd
    for (int64_t r = 0; r < queries; ++r) {
      to[2 * r] = a[r];
      to[2 * r + 1] = b[r];
    }
  }
}

template <class T>
GENFLOW_INLINE void FinishRowsOf(const float* out, const float* max, const float* sum, int64_t rows,
                                 int64_t dim, T* y, int64_t stride, float* lse) {
  for (int64_t r = 0; r < rows; ++r) {
    const float share = 1.0f / sum[r];
    const float* const from = out + r * dim;
    T* const to = y + r * stride;
    float scaled[kMostDim];
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) scaled[i] = from[i] * share;
    NarrowAll(scaled, to, dim);
    if (lse != nullptr) lse[r] = max[r] + std::log(sum[r]);
  }
}

template <class T>
GENFLOW_INLINE void RowProductsOf(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t rows,
                                  int64_t dim, float* delta) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* const x = a + r * a_stride;
    const T* const y = b + r * b_stride;
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < dim; ++i) dot += Wide(x[i]) * Wide(y[i]);
    delta[r] = dot;
  }
}

template <class T>
GENFLOW_INLINE void SumHeadsOf(float* x, int64_t kv_heads, int64_t group, int64_t dim, T* y) {
  for (int64_t h = 0; h < kv_heads; ++h, x += group * dim, y += dim) {
    for (int64_t g = 1; g < group; ++g) {
      const float* const other = x + g * dim;
#pragma omp simd
      for (int64_t i = 0; i < dim; ++i) x[i] += other[i];
    }
    NarrowAll(x, y, dim);
  }
}

template <class T>
GENFLOW_INLINE void UnpackTransposedOf(const float* x, int64_t rows, int64_t dim, T* y, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    T* const to = y + r * stride;
    for (int64_t i = 0; i < dim; ++i) to[i] = Narrow<T>(x[i * kBlock + r]);
  }
}

template <class From, class To>
GENFLOW_INLINE void PackRowsOf(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim,
                               To* out) {
  for (int64_t r = 0; r < rows; ++r) {
    const From* const from = x + r * stride;
    To* const to = out + r * dim;
#pragma omp simd
    for (int64_t i = 0; i < dim; ++i) to[i] = Convert<To>(from[i]);
  }
  std::fill(out + rows * dim, out + padded * dim, To(0.0f));
}

template <class From, class To>
GENFLOW_INLINE void PackTransposedOf(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim,
                                     To* out) {
  for (int64_t i = 0; i < dim; ++i) {
    To* const to = out + i * kBlock;
    for (int64_t r = 0; r < rows; ++r) to[r] = Convert<To>(x[r * stride + i]);
    std::fill(to + rows, to + padded, To(0.0f));
  }
}

template <class From, class To>
GENFLOW_INLINE void PackRightOf(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim,
                                To* out) {
  if constexpr (std::is_same_v<To, float>) {
    PackRowsOf(x, stride, rows, padded, dim, out);
  } else {
    for (int64_t r = 0; r < padded; r += 2) {
      To* const to = out + r * dim;
      const From* const a = x + r * stride;
      if (r + 1 < rows) {
        const From* const b = a + stride;
#pragma omp simd
        for (int64_t i = 0; i < dim; ++i) {
          to[2 * i] = a[i];
          to[2 * i + 1] = b[i];
        }
      } else {
        for (int64_t i = 0; i < dim; ++i) {
          to[2 * i] = r < rows ? a[i] : To(0.0f);
          to[2 * i + 1] = To(0.0f);
        }
      }
    }
  }
}

template <class From, class To>
GENFLOW_INLINE void PackRightTransposedOf(const From* x, int64_t stride, int64_t rows, int64_t padded,
                                          int64_t dim, To* out) {
  if constexpr (std::is_same_v<To, From>) {
    PackTurned(x, stride, rows, dim, out, kBlock);
    constexpr int64_t kTogether = 4 / sizeof(To);  // rows of X^T that are interleaved
    for (int64_t i = 0; i < dim; i += kTogether) {
      To* const to = out + i * kBlock;
      std::fill(to + kTogether * rows, to + kTogether * padded, To(0.0f));
    }
  } else {
    PackTransposedOf(x, stride, rows, padded, dim, out);
  }
}

}  // namespace

#define GENFLOW_BLOCKS(T)                                                                                    \
  template <>                                                                                                \
  GENFLOW_CLONES void SoftmaxBlock<T>(float* scores, int64_t rows, int64_t columns, int64_t offset,          \
                                      float scale, float* max, float* sum, float* out, int64_t dim, T* p) {  \
    SoftmaxBlockOf(scores, rows, columns, offset, scale, max, sum, out, dim, p);                             \
  }                                                                                                          \
  template <>                                                                                                \
  GENFLOW_CLONES void GradientBlock<T>(const float* scores, const float* dp, int64_t keys, int64_t queries,  \
                                       int64_t offset, float scale, const float* lse, const float* delta,    \
                                       T* p, T* ds, T* ds_pairs) {                                           \
    GradientBlockOf(scores, dp, keys, queries, offset, scale, lse, delta, p, ds, ds_pairs);                  \
  }                                                                                                          \
  template <>                                                                                                \
  GENFLOW_CLONES void FinishRows<T>(const float* out, const float* max, const float* sum, int64_t rows,      \
                                    int64_t dim, T* y, int64_t stride, float* lse) {                         \
    FinishRowsOf(out, max, sum, rows, dim, y, stride, lse);                                                  \
  }                                                                                                          \
  template <>                                                                                                \
  GENFLOW_CLONES void RowProducts<T>(const T* a, int64_t a_stride, const T* b, int64_t b_stride,             \
                                     int64_t rows, int64_t dim, float* delta) {                              \
    RowProductsOf(a, a_stride, b, b_stride, rows, dim, delta);                                               \
  }                                                                                                          \
  template <>                                                                                                \
  GENFLOW_CLONES void SumHeads<T>(float* x, int64_t kv_heads, int64_t group, int64_t dim, T* y) {            \
    SumHeadsOf(x, kv_heads, group, dim, y);                                                                  \
  }                                                                                                          \
  template <>                                                                                                \
  GENFLOW_CLONES void UnpackTransposed<T>(const float* x, int64_t rows, int64_t dim, T* y, int64_t stride) { \
    UnpackTransposedOf(x, rows, dim, y, stride);                                                             \
  }
GENFLOW_BLOCKS(float)
GENFLOW_BLOCKS(BFloat16)
#undef GENFLOW_BLOCKS

#define GENFLOW_PACK(Name, From, To)                                                              \
  template <>                                                                                     \
  GENFLOW_CLONES void Name<From, To>(const From* x, int64_t stride, int64_t rows, int64_t padded, \
                                     int64_t dim, To* out) {                                      \
    Name##Of(x, stride, rows, padded, dim, out);                                                  \
  }
#define GENFLOW_PACKS(From, To)          \
  GENFLOW_PACK(PackRows, From, To)       \
  GENFLOW_PACK(PackTransposed, From, To) \
  GENFLOW_PACK(PackRight, From, To)      \
  GENFLOW_PACK(PackRightTransposed, From, To)
GENFLOW_PACKS(float, float)
GENFLOW_PACKS(BFloat16, float)
GENFLOW_PACKS(BFloat16, BFloat16)
#undef GENFLOW_PACKS
#undef GENFLOW_PACK

}  // namespace genflow::nn::kernels
