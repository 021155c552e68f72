// The layout of packed weights and the products with it, compiled for several instruction sets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace genflow::nn::kernels {

// A block of a panel: 16 rows and kColumns columns of unsigned numbers u of 4 or 8 bits, 16 scales, and 16
// minima where the type has them; a weight is scale * (u - kOffset) + minimum.
template <int kBits_, int kColumns_, int kOffset_, bool kMinima_, bool kWideScales_>
struct PackedLayout {
  static constexpr int kBits = kBits_;        // 4: columns 8i .. 8i + 3 in the low halves of the bytes
  static constexpr int kColumns = kColumns_;  // 32, or 16 with 8 bits
  static constexpr int kGroup = 32 / kBits;   // columns whose numbers fill 32 bits of a row
  static constexpr int kOffset = kOffset_;    // 0 where there are minima
  static constexpr bool kMinima = kMinima_;
  static constexpr bool kWideScales = kWideScales_;  // fp32, else fp16
  static constexpr size_t kWeightBytes = 16 * kColumns * kBits / 8;
  static constexpr size_t kScaleBytes = 16 * (kWideScales ? 4 : 2);
  static constexpr size_t kBytes = kWeightBytes + kScaleBytes * (kMinima ? 2 : 1);
};

using LayoutQ40 = PackedLayout<4, 32, 8, false, false>;
using LayoutQ41 = PackedLayout<4, 32, 0, true, false>;
using LayoutQ50 = PackedLayout<8, 32, 16, false, false>;
using LayoutQ51 = PackedLayout<8, 32, 0, true, false>;
using LayoutQ80 = PackedLayout<8, 32, 128, false, false>;
using LayoutQ4K = PackedLayout<4, 32, 0, true, true>;
using LayoutQ5K = PackedLayout<8, 32, 0, true, true>;
using LayoutQ6K = PackedLayout<8, 16, 32, false, true>;

// y[t * y_stride + i] = the product of row i of one panel, i < rows <= 16, and token t < n. Rounded: q
// [n, columns], scales [n, columns / 32], sums [n, columns / 16] of q. Else x [n, columns] and the sums of x.
template <class Layout>
void MultiplyPanelRounded(const uint8_t* panel, int64_t columns, const int8_t* q, const float* scales,
                          const float* sums, int64_t n, float* y, int64_t y_stride, int64_t rows);
template <class Layout>
void MultiplyPanel(const uint8_t* panel, int64_t columns, const float* x, const float* sums, int64_t n,
                   float* y, int64_t y_stride, int64_t rows);

// One row of activations: q and the scale of each 32, the sum of each 16.
void RoundRow(const float* x, int64_t columns, int8_t* q, float* scales, float* sums);
void SumRow(const float* x, int64_t columns, float* sums);

bool HasRoundedProducts();  // AVX512_VNNI

// A finite fp16 number.
float FromHalf(uint16_t half);

}  // namespace genflow::nn::kernels
