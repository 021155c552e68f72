#include "nn/decode/few_rows.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "nn/scratch.h"
#include "nn/vector_math.h"

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

constexpr int64_t kLanes = 16;
using Vec = float __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));
using Lanes = int32_t __attribute__((vector_size(64)));

// Numbers that are loaded at once: those of bf16 become two vectors, of the even and of the odd ones. What is
// multiplied with them stands in the same order (SplitPairs).
template <class T>
constexpr int64_t kVecs = std::is_same_v<T, float> ? 1 : 2;
template <class T>
constexpr int64_t kChunk = kVecs<T>* kLanes;

GENFLOW_INLINE void Load(const float* from, Vec* to) { std::memcpy(to, from, sizeof *to); }
GENFLOW_INLINE void Load(const BFloat16* from, Vec* to) {
  Words pairs;
  std::memcpy(&pairs, from, sizeof pairs);
  const Words even = pairs << 16, odd = pairs & 0xffff0000u;
  std::memcpy(&to[0], &even, sizeof even);
  std::memcpy(&to[1], &odd, sizeof odd);
}

// The whole chunks of x in the order in which Load brings weights of type T.
template <class T>
GENFLOW_INLINE void SplitPairs(const float* x, int64_t columns, float* to) {
  for (int64_t k = 0; k + kChunk<T> <= columns; k += kChunk<T>) {
    if constexpr (kVecs<T> == 1) {
      std::memcpy(to + k, x + k, kLanes * sizeof(float));
    } else {
      Vec low, high;
      Load(x + k, &low);
      Load(x + k + kLanes, &high);
      const Vec even =
          __builtin_shuffle(low, high, Lanes{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30});
      const Vec odd =
          __builtin_shuffle(low, high, Lanes{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31});
      std::memcpy(to + k, &even, sizeof even);
      std::memcpy(to + k + kLanes, &odd, sizeof odd);
    }
  }
}

// Of two vectors of groups of 2^kLevel lanes, the groups of both halved in width: lower plus upper half.
template <int kLevel>
GENFLOW_INLINE void Halve(const Vec& a, const Vec& b, Vec& to) {
  if constexpr (kLevel == 4) {
    to = __builtin_shuffle(a, b, Lanes{0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23}) +
         __builtin_shuffle(a, b, Lanes{8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31});
  } else if constexpr (kLevel == 3) {
    to = __builtin_shuffle(a, b, Lanes{0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27}) +
         __builtin_shuffle(a, b, Lanes{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31});
  } else if constexpr (kLevel == 2) {
    to = __builtin_shuffle(a, b, Lanes{0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29}) +
         __builtin_shuffle(a, b, Lanes{2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31});
  } else {
    to = __builtin_shuffle(a, b, Lanes{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30}) +
         __builtin_shuffle(a, b, Lanes{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31});
  }
}

// Lane i of sums[0] = the sum of the lanes of sums[i], i < kCount, a power of two up to 16.
template <int kLevel, int kCount>
GENFLOW_INLINE void SumEach(Vec* sums) {
  if constexpr (kLevel > 0) {
    constexpr int kHalf = kCount > 1 ? kCount / 2 : 1;
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) Halve<kLevel>(sums[2 * i], sums[kCount > 1 ? 2 * i + 1 : 0], sums[i]);
    SumEach<kLevel - 1, kHalf>(sums);
  }
}

// kRows rows from w on, kTokens tokens; x as SplitPairs orders it, `plain` as it is.
template <int kRows, int kTokens, class T>
GENFLOW_INLINE void Tile(const T* w, int64_t w_stride, int64_t columns, const float* x, const float* plain,
                         int64_t x_stride, float* y, int64_t y_stride) {
  Vec sums[kTokens * kRows];
#pragma GCC unroll 16
  for (int i = 0; i < kTokens * kRows; ++i) sums[i] = Vec{};
  const int64_t whole = columns / kChunk<T> * kChunk<T>;
  if constexpr (kTokens <= 2) {
    // One row after the other, as memory is read fastest.
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      for (int64_t k = 0; k < whole; k += kChunk<T>) {
        Vec weights[kVecs<T>];
        __builtin_prefetch(w + r * w_stride + k + kReadAhead / static_cast<int64_t>(sizeof(T)));
        Load(w + r * w_stride + k, weights);
#pragma GCC unroll 2
        for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
          for (int v = 0; v < kVecs<T>; ++v) {
            Vec token;
            Load(x + t * columns + k + v * kLanes, &token);
            sums[t * kRows + r] += weights[v] * token;
          }
        }
      }
    }
  } else {
    for (int64_t k = 0; k < whole; k += kChunk<T>) {
      Vec weights[kRows][kVecs<T>];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        __builtin_prefetch(w + (r + kRows) * w_stride + k);  // what the next tile reads
        Load(w + r * w_stride + k, weights[r]);
      }
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
        for (int v = 0; v < kVecs<T>; ++v) {
          Vec token;
          Load(x + t * columns + k + v * kLanes, &token);
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r) sums[t * kRows + r] += weights[r][v] * token;
        }
      }
    }
  }
  SumEach<4, kTokens * kRows>(sums);
  float products[kLanes];
  std::memcpy(products, sums, sizeof products);
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) {
      float sum = products[t * kRows + r];
      for (int64_t k = whole; k < columns; ++k) sum += Wide(w[r * w_stride + k]) * plain[t * x_stride + k];
      y[t * y_stride + r] = sum;
    }
  }
}

template <int kTokens, class T>
GENFLOW_INLINE void Tiles(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                          const float* plain, int64_t x_stride, float* y, int64_t y_stride) {
  // As many sums at once as there are registers for.
  constexpr int kRows = kTokens <= 4 ? 4 : 2;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    Tile<kRows, kTokens>(w + r * w_stride, w_stride, columns, x, plain, x_stride, y + r, y_stride);
  for (; r < rows; ++r)
    Tile<1, kTokens>(w + r * w_stride, w_stride, columns, x, plain, x_stride, y + r, y_stride);
}

// `split` has room for n * columns numbers.
template <class T>
GENFLOW_INLINE void MultiplyFewOf(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                                  int64_t x_stride, int64_t n, float* y, int64_t y_stride, float* split) {
  for (int64_t t = 0; t < n; ++t) SplitPairs<T>(x + t * x_stride, columns, split + t * columns);
  // Rows that stay in the first cache while all tokens pass.
  const int64_t step = std::max<int64_t>(4, 16384 / (columns * static_cast<int64_t>(sizeof(T))) / 4 * 4);
  for (; rows > 0; rows -= step, w += step * w_stride, y += step) {
    const int64_t some = std::min(rows, step);
    int64_t t = 0;
    for (; t + 8 <= n; t += 8)
      Tiles<8>(w, w_stride, some, columns, split + t * columns, x + t * x_stride, x_stride, y + t * y_stride,
               y_stride);
    for (; t + 4 <= n; t += 4)
      Tiles<4>(w, w_stride, some, columns, split + t * columns, x + t * x_stride, x_stride, y + t * y_stride,
               y_stride);
    for (; t + 2 <= n; t += 2)
      Tiles<2>(w, w_stride, some, columns, split + t * columns, x + t * x_stride, x_stride, y + t * y_stride,
               y_stride);
    for (; t < n; ++t)
      Tiles<1>(w, w_stride, some, columns, split + t * columns, x + t * x_stride, x_stride, y + t * y_stride,
               y_stride);
  }
}

// out [kCount chunks] = the sum over tokens of weights[t] v[t * dim ...].
template <int kCount, class T>
GENFLOW_INLINE void WeightedSum(const float* weights, const T* v, int64_t length, int64_t dim, float* out) {
  constexpr int64_t kAll = kCount * kVecs<T>;
  Vec sums[kAll];
#pragma GCC unroll 8
  for (int i = 0; i < kAll; ++i) sums[i] = Vec{};
  for (int64_t t = 0; t < length; ++t) {
    const float weight = weights[t];
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      Vec values[kVecs<T>];
      Load(v + t * dim + i * kChunk<T>, values);
#pragma GCC unroll 2
      for (int j = 0; j < kVecs<T>; ++j) sums[i * kVecs<T> + j] += weight * values[j];
    }
  }
  for (int i = 0; i < kCount; ++i) {
    float* const to = out + i * kChunk<T>;
    if constexpr (kVecs<T> == 1) {
      std::memcpy(to, &sums[i], sizeof sums[i]);
    } else {
      float even[kLanes], odd[kLanes];
      std::memcpy(even, &sums[2 * i], sizeof even);
      std::memcpy(odd, &sums[2 * i + 1], sizeof odd);
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        to[2 * lane] = even[lane];
        to[2 * lane + 1] = odd[lane];
      }
    }
  }
}

template <class T>
GENFLOW_INLINE void AttendOneOf(const float* q, const T* k, const T* v, int64_t length, int64_t dim,
                                float scale, float* scores, float* out, float* split) {
  MultiplyFewOf(k, dim, length, dim, q, dim, 1, scores, length, split);
  float max = scores[0];
#pragma omp simd reduction(max : max)
  for (int64_t t = 0; t < length; ++t) max = scores[t] > max ? scores[t] : max;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t t = 0; t < length; ++t) {
    scores[t] = Exp((scores[t] - max) * scale);
    sum += scores[t];
  }
  int64_t d = 0;
  constexpr int kMost = 4 / kVecs<T>;
  for (; d + kMost * kChunk<T> <= dim; d += kMost * kChunk<T>)
    WeightedSum<kMost>(scores, v + d, length, dim, out + d);
  for (; d + kChunk<T> <= dim; d += kChunk<T>) WeightedSum<1>(scores, v + d, length, dim, out + d);
  for (; d < dim; ++d) {
    out[d] = 0;
    for (int64_t t = 0; t < length; ++t) out[d] += scores[t] * Wide(v[t * dim + d]);
  }
  const float share = 1.0f / sum;
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) out[i] *= share;
}

GENFLOW_CLONES void Multiply(const float* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                             int64_t x_stride, int64_t n, float* y, int64_t y_stride, float* split) {
  MultiplyFewOf(w, w_stride, rows, columns, x, x_stride, n, y, y_stride, split);
}
GENFLOW_CLONES void Multiply(const BFloat16* w, int64_t w_stride, int64_t rows, int64_t columns,
                             const float* x, int64_t x_stride, int64_t n, float* y, int64_t y_stride,
                             float* split) {
  MultiplyFewOf(w, w_stride, rows, columns, x, x_stride, n, y, y_stride, split);
}
GENFLOW_CLONES void Attend(const float* q, const float* k, const float* v, int64_t length, int64_t dim,
                           float scale, float* scores, float* out, float* split) {
  AttendOneOf(q, k, v, length, dim, scale, scores, out, split);
}
GENFLOW_CLONES void Attend(const float* q, const BFloat16* k, const BFloat16* v, int64_t length, int64_t dim,
                           float scale, float* scores, float* out, float* split) {
  AttendOneOf(q, k, v, length, dim, scale, scores, out, split);
}

// Memory of this thread for so many numbers.
float* Scratch(int64_t count) {
  thread_local nn::Scratch<float> scratch;
  return scratch.At(static_cast<size_t>(count));
}

}  // namespace

template <class T>
void MultiplyFew(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                 int64_t x_stride, int64_t n, float* y, int64_t y_stride) {
  Multiply(w, w_stride, rows, columns, x, x_stride, n, y, y_stride, Scratch(n * columns));
}
template void MultiplyFew(const float*, int64_t, int64_t, int64_t, const float*, int64_t, int64_t, float*,
                          int64_t);
template void MultiplyFew(const BFloat16*, int64_t, int64_t, int64_t, const float*, int64_t, int64_t, float*,
                          int64_t);

template <class T>
void AttendOne(const float* q, const T* k, const T* v, int64_t length, int64_t dim, float scale,
               float* scores, float* out) {
  Attend(q, k, v, length, dim, scale, scores, out, Scratch(dim));
}
template void AttendOne(const float*, const float*, const float*, int64_t, int64_t, float, float*, float*);
template void AttendOne(const float*, const BFloat16*, const BFloat16*, int64_t, int64_t, float, float*,
                        float*);

}  // namespace genflow::nn::kernels
