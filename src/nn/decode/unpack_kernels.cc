#include "nn/decode/unpack_kernels.h"

#include "nn/decode/packed_vectors.h"
#include "nn/product_kernels.h"

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

// Finite numbers, rounded to bf16, in the upper halves.
GENFLOW_INLINE void RoundBits(const Vec& x, Words& to) {
  std::memcpy(&to, &x, sizeof to);
  to += 0x7fffu + ((to >> 16) & 1u);
}

GENFLOW_INLINE void StoreColumns(const Vec& even, const Vec& odd, float* to) {
  std::memcpy(to, &even, sizeof even);
  std::memcpy(to + kPanel<float>, &odd, sizeof odd);
}
GENFLOW_INLINE void StoreColumns(const Vec& even, const Vec& odd, BFloat16* to) {
  Words low, high;
  RoundBits(even, low);
  RoundBits(odd, high);
  low = (low >> 16) | (high & 0xffff0000u);
  std::memcpy(static_cast<void*>(to), &low, sizeof low);
}

// Products are rounded before they are added to, as dequantising rounds them (-ffp-contract=off).
template <class Layout, class T>
GENFLOW_INLINE void UnpackBlocksOf(const uint8_t* from, int64_t blocks, T* to) {
  constexpr int kGroup = Layout::kGroup;
  for (int64_t b = 0; b < blocks; ++b, from += Layout::kBytes) {
    Vec scales, minima{};
    LoadScales<Layout>(from + Layout::kWeightBytes, scales);
    if constexpr (Layout::kMinima) {
      LoadScales<Layout>(from + Layout::kWeightBytes + Layout::kScaleBytes, minima);
    }
    for (int g = 0; g < Layout::kColumns / kGroup; ++g) {
      Words group;
      std::memcpy(&group, from + g * 64, sizeof group);
#pragma GCC unroll 4
      for (int c = 0; c < kGroup; c += 2, to += 2 * kPanel<T>) {
        Vec even, odd;
        Column<Layout>(group, c, even);
        Column<Layout>(group, c + 1, odd);
        even *= scales;
        odd *= scales;
        if constexpr (Layout::kMinima) {
          even += minima;
          odd += minima;
        }
        StoreColumns(even, odd, to);
      }
    }
  }
}

}  // namespace

// Clones cannot be templates.
#define GENFLOW_UNPACK(Layout, T)                                                        \
  GENFLOW_CLONES static void Clone##Layout(const uint8_t* from, int64_t blocks, T* to) { \
    UnpackBlocksOf<Layout>(from, blocks, to);                                            \
  }                                                                                      \
  template <>                                                                            \
  void UnpackBlocks<Layout>(const uint8_t* from, int64_t blocks, T* to) {                \
    Clone##Layout(from, blocks, to);                                                     \
  }
#define GENFLOW_UNPACK_BOTH(Layout) \
  GENFLOW_UNPACK(Layout, float)     \
  GENFLOW_UNPACK(Layout, BFloat16)
GENFLOW_UNPACK_BOTH(LayoutQ40)
GENFLOW_UNPACK_BOTH(LayoutQ41)
GENFLOW_UNPACK_BOTH(LayoutQ50)
GENFLOW_UNPACK_BOTH(LayoutQ51)
GENFLOW_UNPACK_BOTH(LayoutQ80)
GENFLOW_UNPACK_BOTH(LayoutQ4K)
GENFLOW_UNPACK_BOTH(LayoutQ5K)
GENFLOW_UNPACK_BOTH(LayoutQ6K)
#undef GENFLOW_UNPACK_BOTH
#undef GENFLOW_UNPACK

}  // namespace genflow::nn::kernels
