// The element-wise parts of attention in blocks, compiled for several instruction sets and chosen at run
// time. Torch-free but for the 16-bit type. Blocks are row-major and kBlock wide, whatever part of them is
// used; the number of rows and columns used is a multiple of 16, and what pads them never reaches a result.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace genflow::nn::kernels {

inline constexpr int64_t kBlock = 96;
inline constexpr int64_t kMostDim = 256;  // of a head

// One block of online softmax (Milakov & Gimelshein 2018). scores [rows, columns] are q k^T; row r sees the
// columns 0..offset + r. Writes p = exp(scale * score - max), 0 where it sees nothing, and brings each row's
// running max and sum, and `out` [rows, dim] with them, up to date.
template <class T>
void SoftmaxBlock(float* scores, int64_t rows, int64_t columns, int64_t offset, float scale, float* max,
                  float* sum, float* out, int64_t dim, T* p);

// One block of attention's backward pass, transposed: scores [keys, queries] are k q^T, dp [keys, queries]
// are v dout^T; key c is seen by the queries from c - offset on.
//   p = exp(scale * score - lse), ds = scale * p * (dp - delta)
// p and ds may stand in scores and dp where T is float. ds_pairs is ds with each two rows interleaved, as
// bf16 products want their right side; it is ds itself for float, and nullptr is to be given then.
template <class T>
void GradientBlock(const float* scores, const float* dp, int64_t keys, int64_t queries, int64_t offset,
                   float scale, const float* lse, const float* delta, T* p, T* ds, T* ds_pairs);

// y [rows, dim] with a stride = T(out / sum), and lse = max + log(sum) unless it is null.
template <class T>
void FinishRows(const float* out, const float* max, const float* sum, int64_t rows, int64_t dim, T* y,
                int64_t stride, float* lse);

// delta = the sum of a * b, row by row; each [rows, dim] with a stride.
template <class T>
void RowProducts(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t rows, int64_t dim,
                 float* delta);

// y [rows, dim] with a stride = T of x^T, x [dim, kBlock].
template <class T>
void UnpackTransposed(const float* x, int64_t rows, int64_t dim, T* y, int64_t stride);

// y [kv_heads, dim] dense = T of the sums of each `group` heads of x [kv_heads * group, dim]; x is not kept.
template <class T>
void SumHeads(float* x, int64_t kv_heads, int64_t group, int64_t dim, T* y);

// What multiplies: X [rows, dim], read with a stride between its rows and zeros after `rows`, as
//   PackRows         itself [padded, dim]: a left side
//   PackTransposed   X^T [dim, kBlock]: a left side
//   PackRight        X as a right side, PackRightTransposed X^T as one ([dim, kBlock])
// A right side of bf16 has each two rows interleaved. To is From, or float where From is bf16; dim is even.
template <class From, class To>
void PackRows(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim, To* out);
template <class From, class To>
void PackTransposed(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim, To* out);
template <class From, class To>
void PackRight(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim, To* out);
template <class From, class To>
void PackRightTransposed(const From* x, int64_t stride, int64_t rows, int64_t padded, int64_t dim, To* out);

}  // namespace genflow::nn::kernels
