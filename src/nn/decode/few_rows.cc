#include "nn/decode/few_rows.h"

#include <algorithm>
#include <cstring>

#include "nn/vector_math.h"

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

constexpr int64_t kLanes = 16;
using Vec = float __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(32)));

GENFLOW_INLINE void Load(const float* from, Vec& to) { std::memcpy(&to, from, sizeof to); }
GENFLOW_INLINE void Load(const BFloat16* from, Vec& to) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  std::memcpy(&to, &words, sizeof to);
}

GENFLOW_INLINE float Sum(const Vec& x) {
  float lanes[kLanes];
  std::memcpy(lanes, &x, sizeof lanes);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// kRows rows from w on, kTokens tokens.
template <int kRows, int kTokens, class T>
GENFLOW_INLINE void Tile(const T* w, int64_t w_stride, int64_t columns, const float* x, int64_t x_stride,
                         float* y, int64_t y_stride) {
  Vec sums[kRows][kTokens];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) sums[r][t] = Vec{};
  }
  const int64_t whole = columns / kLanes * kLanes;
  for (int64_t k = 0; k < whole; k += kLanes) {
    Vec weights[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) Load(w + r * w_stride + k, weights[r]);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      Vec token;
      Load(x + t * x_stride + k, token);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[r][t] += weights[r] * token;
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) {
      float sum = Sum(sums[r][t]);
      for (int64_t k = whole; k < columns; ++k) sum += Wide(w[r * w_stride + k]) * x[t * x_stride + k];
      y[t * y_stride + r] = sum;
    }
  }
}

template <int kTokens, class T>
GENFLOW_INLINE void Tiles(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                          int64_t x_stride, float* y, int64_t y_stride) {
  // As many sums at once as there are registers for.
  constexpr int kRows = kTokens <= 4 ? 4 : 2;
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    Tile<kRows, kTokens>(w + r * w_stride, w_stride, columns, x, x_stride, y + r, y_stride);
  for (; r < rows; ++r) Tile<1, kTokens>(w + r * w_stride, w_stride, columns, x, x_stride, y + r, y_stride);
}

template <class T>
GENFLOW_INLINE void MultiplyFewOf(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                                  int64_t x_stride, int64_t n, float* y, int64_t y_stride) {
  // Rows that stay in the first cache while all tokens pass.
  const int64_t step = std::max<int64_t>(4, 16384 / (columns * static_cast<int64_t>(sizeof(T))) / 4 * 4);
  for (; rows > 0; rows -= step, w += step * w_stride, y += step) {
    const int64_t some = std::min(rows, step);
    int64_t t = 0;
    for (; t + 8 <= n; t += 8)
      Tiles<8>(w, w_stride, some, columns, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    for (; t + 4 <= n; t += 4)
      Tiles<4>(w, w_stride, some, columns, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    for (; t + 2 <= n; t += 2)
      Tiles<2>(w, w_stride, some, columns, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    for (; t < n; ++t)
      Tiles<1>(w, w_stride, some, columns, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
  }
}

// out [kVecs * 16] = the sum over tokens of weights[t] v[t * dim ...].
template <int kVecs, class T>
GENFLOW_INLINE void WeightedSum(const float* weights, const T* v, int64_t length, int64_t dim, float* out) {
  Vec sums[kVecs];
#pragma GCC unroll 8
  for (int i = 0; i < kVecs; ++i) sums[i] = Vec{};
  for (int64_t t = 0; t < length; ++t) {
    const float weight = weights[t];
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) {
      Vec value;
      Load(v + t * dim + i * kLanes, value);
      sums[i] += weight * value;
    }
  }
  std::memcpy(out, sums, sizeof sums);
}

template <class T>
GENFLOW_INLINE void AttendOneOf(const float* q, const T* k, const T* v, int64_t length, int64_t dim,
                                float scale, float* scores, float* out) {
  MultiplyFewOf(k, dim, length, dim, q, dim, 1, scores, length);
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
  for (; d + 4 * kLanes <= dim; d += 4 * kLanes) WeightedSum<4>(scores, v + d, length, dim, out + d);
  for (; d + kLanes <= dim; d += kLanes) WeightedSum<1>(scores, v + d, length, dim, out + d);
  for (; d < dim; ++d) {
    out[d] = 0;
    for (int64_t t = 0; t < length; ++t) out[d] += scores[t] * Wide(v[t * dim + d]);
  }
  const float share = 1.0f / sum;
#pragma omp simd
  for (int64_t i = 0; i < dim; ++i) out[i] *= share;
}

GENFLOW_CLONES void Multiply(const float* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                             int64_t x_stride, int64_t n, float* y, int64_t y_stride) {
  MultiplyFewOf(w, w_stride, rows, columns, x, x_stride, n, y, y_stride);
}
GENFLOW_CLONES void Multiply(const BFloat16* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                             int64_t x_stride, int64_t n, float* y, int64_t y_stride) {
  MultiplyFewOf(w, w_stride, rows, columns, x, x_stride, n, y, y_stride);
}
GENFLOW_CLONES void Attend(const float* q, const float* k, const float* v, int64_t length, int64_t dim,
                           float scale, float* scores, float* out) {
  AttendOneOf(q, k, v, length, dim, scale, scores, out);
}
GENFLOW_CLONES void Attend(const float* q, const BFloat16* k, const BFloat16* v, int64_t length, int64_t dim,
                           float scale, float* scores, float* out) {
  AttendOneOf(q, k, v, length, dim, scale, scores, out);
}

}  // namespace

template <class T>
void MultiplyFew(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                 int64_t x_stride, int64_t n, float* y, int64_t y_stride) {
  Multiply(w, w_stride, rows, columns, x, x_stride, n, y, y_stride);
}
template void MultiplyFew(const float*, int64_t, int64_t, int64_t, const float*, int64_t, int64_t, float*,
                          int64_t);
template void MultiplyFew(const BFloat16*, int64_t, int64_t, int64_t, const float*, int64_t, int64_t, float*,
                          int64_t);

template <class T>
void AttendOne(const float* q, const T* k, const T* v, int64_t length, int64_t dim, float scale,
               float* scores, float* out) {
  Attend(q, k, v, length, dim, scale, scores, out);
}
template void AttendOne(const float*, const float*, const float*, int64_t, int64_t, float, float*, float*);
template void AttendOne(const float*, const BFloat16*, const BFloat16*, int64_t, int64_t, float, float*,
                        float*);

}  // namespace genflow::nn::kernels
