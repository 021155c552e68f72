// What a product in blocks does besides multiplying: bringing panels of its right side into the layout that
// is multiplied, and finished blocks into what tensors hold. Chosen at run time for the instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <type_traits>

namespace genflow::nn::kernels {

// Columns of a panel, and how far its rows stand apart: what oneDNN's kernels multiply fastest. For fp32,
// three registers wide; for bf16, three times three tiles.
template <class T>
inline constexpr int64_t kPanel = std::is_same_v<T, float> ? 48 : 144;

// A right side [depth, columns] whose rows stand `apart` apart; of bf16 each two rows are interleaved, and
// depth is even. From w [columns, depth], whose rows stand `stride` apart, turned over:
void PackTurned(const float* w, int64_t stride, int64_t columns, int64_t depth, float* to, int64_t apart);
void PackTurned(const c10::BFloat16* w, int64_t stride, int64_t columns, int64_t depth, c10::BFloat16* to,
                int64_t apart);
// from w [depth, columns]:
void PackStraight(const float* w, int64_t stride, int64_t columns, int64_t depth, float* to, int64_t apart);
void PackStraight(const c10::BFloat16* w, int64_t stride, int64_t columns, int64_t depth, c10::BFloat16* to,
                  int64_t apart);

// y [rows, columns] = T(block + bias), and T(y + residual) after it, of columns up to a panel's; bias and
// residual may be null, and an fp32 y the block itself.
void StoreBlock(const float* block, int64_t block_stride, int64_t rows, int64_t columns, const float* bias,
                const float* residual, int64_t residual_stride, float* y, int64_t stride);
void StoreBlock(const float* block, int64_t block_stride, int64_t rows, int64_t columns,
                const c10::BFloat16* bias, const c10::BFloat16* residual, int64_t residual_stride,
                c10::BFloat16* y, int64_t stride);

}  // namespace genflow::nn::kernels
