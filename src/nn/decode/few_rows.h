// Products of a weight with the activations of a few tokens, and attention of one token over a cache: what
// decoding does, limited by reading memory once. Compiled for several instruction sets and chosen at run
// time. Torch-free but for the 16-bit type. Activations are fp32, sums too.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace genflow::nn::kernels {

// y[t * y_stride + r] = the sum over k < columns of w[r * w_stride + k] x[t * x_stride + k], for rows 0 <= r
// < rows and tokens 0 <= t < n. Equal bytes whatever n and the number of rows are.
template <class T>
void MultiplyFew(const T* w, int64_t w_stride, int64_t rows, int64_t columns, const float* x,
                 int64_t x_stride, int64_t n, float* y, int64_t y_stride);

// out [dim] = softmax(scale k q) v over `length` tokens of k and v, each [length, dim]; `scores` holds
// `length` numbers.
template <class T>
void AttendOne(const float* q, const T* k, const T* v, int64_t length, int64_t dim, float scale,
               float* scores, float* out);

}  // namespace genflow::nn::kernels
