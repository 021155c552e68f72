// Sixteen rows of a packed weight at a time, one in each lane of a vector.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "nn/decode/packed_kernels.h"
#include "nn/vector_math.h"

namespace genflow::nn::kernels {

using Vec = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));

GENFLOW_INLINE float WideHalf(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  return (half & 0x8000u) != 0 ? -value : value;
}

template <class Layout>
GENFLOW_INLINE void LoadScales(const uint8_t* from, Vec& to) {
  if constexpr (Layout::kWideScales) {
    std::memcpy(&to, from, sizeof to);
  } else {
    uint16_t halves[16];
    std::memcpy(halves, from, sizeof halves);
    float values[16];
    for (int i = 0; i < 16; ++i) values[i] = WideHalf(halves[i]);
    std::memcpy(&to, values, sizeof to);
  }
}

// Column c of a group (Layout::kGroup): one number of each of the 16 rows.
template <class Layout>
GENFLOW_INLINE void Column(const Words& group, int c, Vec& to) {
  Words bits;
  if constexpr (Layout::kBits == 8) {
    bits = (group >> (8 * c)) & 0xffu;
  } else {
    bits = (group >> (8 * (c % 4) + 4 * (c / 4))) & 0xfu;
  }
  Ints ints;
  std::memcpy(&ints, &bits, sizeof ints);
  to = __builtin_convertvector(ints - Layout::kOffset, Vec);
}

}  // namespace genflow::nn::kernels
