#include "nn/decode/packed_weight.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "nn/decode/packed_kernels.h"
#include "nn/decode/unpack_kernels.h"

namespace genflow::nn {
namespace {

constexpr int64_t kPanel = PackedWeight::kPanel;

// Calls visit with the layout of a type.
template <class Visit>
void ForLayout(PackedType type, const Visit& visit) {
  switch (type) {
    case PackedType::kQ4_0:
      return visit(kernels::LayoutQ40{});
    case PackedType::kQ4_1:
      return visit(kernels::LayoutQ41{});
    case PackedType::kQ5_0:
      return visit(kernels::LayoutQ50{});
    case PackedType::kQ5_1:
      return visit(kernels::LayoutQ51{});
    case PackedType::kQ8_0:
      return visit(kernels::LayoutQ80{});
    case PackedType::kQ4_K:
      return visit(kernels::LayoutQ4K{});
    case PackedType::kQ5_K:
      return visit(kernels::LayoutQ5K{});
    case PackedType::kQ6_K:
      return visit(kernels::LayoutQ6K{});
  }
}

uint16_t HalfAt(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return half;
}
float FloatAt(const uint8_t* from) { return kernels::FromHalf(HalfAt(from)); }

// One block of a row in the terms of PackedLayout. Scales are fp16 bits, or fp32 where they are wide.
struct Block {
  uint8_t u[32];
  uint16_t half_scale = 0, half_minimum = 0;
  float scale = 0, minimum = 0;
};

// Scale and minimum, 6 bits each, of sub-block j of a Q4_K or Q5_K block.
void SubScales(const uint8_t* packed, int64_t j, int* scale, int* minimum) {
  if (j < 4) {
    *scale = packed[j] & 63;
    *minimum = packed[j + 4] & 63;
  } else {
    *scale = (packed[j + 4] & 0xf) | ((packed[j - 4] >> 6) << 4);
    *minimum = (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4);
  }
}

// Bit i of `bits` in byte i.
uint64_t SpreadBits(uint8_t bits) {
  const uint64_t each = bits * 0x0101010101010101u & 0x8040201008040201u;
  return (each + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
}

// Block `b` of the layout in a row of GGML blocks (ggml-common.h describes those).
void Decode(PackedType type, const uint8_t* row, int64_t b, Block* block) {
  const auto nibbles = [block](const uint8_t* from) {
    for (int i = 0; i < 16; ++i) {
      block->u[i] = from[i] & 0xf;
      block->u[i + 16] = from[i] >> 4;
    }
  };
  const auto fifth_bits = [block](const uint8_t* from) {
    for (int i = 0; i < 32; i += 8) {
      uint64_t eight;
      std::memcpy(&eight, block->u + i, sizeof eight);
      eight |= SpreadBits(from[i / 8]) << 4;
      std::memcpy(block->u + i, &eight, sizeof eight);
    }
  };
  switch (type) {
    case PackedType::kQ4_0:  // d, 16 bytes of nibbles
      row += b * 18;
      block->half_scale = HalfAt(row);
      nibbles(row + 2);
      return;
    case PackedType::kQ4_1:  // d, m, nibbles
      row += b * 20;
      block->half_scale = HalfAt(row);
      block->half_minimum = HalfAt(row + 2);
      nibbles(row + 4);
      return;
    case PackedType::kQ5_0:  // d, 32 fifth bits, nibbles
      row += b * 22;
      block->half_scale = HalfAt(row);
      nibbles(row + 6);
      fifth_bits(row + 2);
      return;
    case PackedType::kQ5_1:  // d, m, fifth bits, nibbles
      row += b * 24;
      block->half_scale = HalfAt(row);
      block->half_minimum = HalfAt(row + 2);
      nibbles(row + 8);
      fifth_bits(row + 4);
      return;
    case PackedType::kQ8_0:  // d, 32 signed bytes
      row += b * 34;
      block->half_scale = HalfAt(row);
      for (int i = 0; i < 32; ++i) block->u[i] = row[2 + i] ^ 0x80;
      return;
    case PackedType::kQ4_K:    // d, dmin, 12 bytes of scales, 128 of nibbles
    case PackedType::kQ5_K: {  // d, dmin, scales, 32 bytes of fifth bits, nibbles
      const bool five = type == PackedType::kQ5_K;
      row += b / 8 * (five ? 176 : 144);
      const int64_t j = b % 8;
      int scale, minimum;
      SubScales(row + 4, j, &scale, &minimum);
      block->scale = FloatAt(row) * static_cast<float>(scale);
      block->minimum = -FloatAt(row + 2) * static_cast<float>(minimum);
      const uint8_t* const low = row + (five ? 48 : 16) + j / 2 * 32;
      for (int i = 0; i < 32; ++i) {
        block->u[i] = j % 2 == 0 ? low[i] & 0xf : low[i] >> 4;
        if (five) block->u[i] |= static_cast<uint8_t>(((row[16 + i] >> j) & 1) << 4);
      }
      return;
    }
    default: {  // Q6_K: 128 low halves, 64 bytes of high pairs, 16 signed scales, d; blocks of 16 here
      row += b / 16 * 210;
      const int64_t j = b % 16, half = j / 8, quarter = j % 8 / 2;
      block->scale = FloatAt(row + 208) * static_cast<float>(static_cast<int8_t>(row[192 + j]));
      const uint8_t* const low = row + half * 64 + quarter % 2 * 32 + j % 2 * 16;
      const uint8_t* const high = row + 128 + half * 32 + j % 2 * 16;
      for (int i = 0; i < 16; ++i) {
        const int four = quarter < 2 ? low[i] & 0xf : low[i] >> 4;
        block->u[i] = static_cast<uint8_t>(four | (((high[i] >> (2 * quarter)) & 3) << 4));
      }
    }
  }
}

template <class Layout>
void Store(const Block& block, int64_t lane, uint8_t* to) {
  const auto four_at = [&](int c) {
    uint32_t four;
    std::memcpy(&four, block.u + c, sizeof four);
    return four;
  };
  constexpr int kGroup = Layout::kGroup;
  for (int c = 0; c < Layout::kColumns; c += kGroup) {
    uint32_t word = four_at(c);
    if constexpr (Layout::kBits == 4) word |= four_at(c + 4) << 4;
    std::memcpy(to + c / kGroup * 64 + lane * 4, &word, sizeof word);
  }
  const auto store_scale = [&](uint8_t* scales, uint16_t half, float wide) {
    if constexpr (Layout::kWideScales) {
      std::memcpy(scales + lane * 4, &wide, sizeof wide);
    } else {
      std::memcpy(scales + lane * 2, &half, sizeof half);
    }
  };
  store_scale(to + Layout::kWeightBytes, block.half_scale, block.scale);
  if constexpr (Layout::kMinima) {
    store_scale(to + Layout::kWeightBytes + Layout::kScaleBytes, block.half_minimum, block.minimum);
  }
}

}  // namespace

bool RoundsActivations() { return kernels::HasRoundedProducts(); }

void PackedInput::Resize(int64_t n, int64_t columns) {
  columns_ = columns;
  const auto size = static_cast<size_t>(n * columns);
  if (RoundsActivations()) {
    q_.resize(size);
    scales_.resize(size / 32);
  } else {
    x_.resize(size);
  }
  sums_.resize(size / 16);
}

void PackedInput::Set(int64_t token, const float* x) {
  float* const sums = sums_.data() + token * columns_ / 16;
  if (RoundsActivations()) {
    kernels::RoundRow(x, columns_, q_.data() + token * columns_, scales_.data() + token * columns_ / 32,
                      sums);
  } else {
    std::copy_n(x, columns_, x_.data() + token * columns_);
    kernels::SumRow(x, columns_, sums);
  }
}

std::optional<PackedType> PackedTypeOf(std::string_view ggml_name, int64_t columns) {
  constexpr std::pair<std::string_view, PackedType> kTypes[] = {
      {"Q4_0", PackedType::kQ4_0}, {"Q4_1", PackedType::kQ4_1}, {"Q5_0", PackedType::kQ5_0},
      {"Q5_1", PackedType::kQ5_1}, {"Q8_0", PackedType::kQ8_0}, {"Q4_K", PackedType::kQ4_K},
      {"Q5_K", PackedType::kQ5_K}, {"Q6_K", PackedType::kQ6_K}};
  for (const auto& [name, type] : kTypes) {
    if (name == ggml_name && columns % (name.ends_with('K') ? 256 : 32) == 0) return type;
  }
  return std::nullopt;
}

size_t PackedWeight::BytesOf(PackedType type, int64_t rows, int64_t columns) {
  return PackedWeight(type, rows, columns, nullptr).bytes();
}

PackedWeight::PackedWeight(PackedType type, int64_t rows, int64_t columns, std::shared_ptr<uint8_t> data)
    : type_(type), rows_(rows), columns_(columns), panel_bytes_(0), data_(std::move(data)) {
  ForLayout(type_, [&](auto layout) {
    panel_bytes_ = static_cast<size_t>(columns / layout.kColumns) * layout.kBytes;
  });
}

void PackedWeight::PackPanel(int64_t panel, const std::function<const std::byte*(int64_t)>& row) {
  uint8_t* const to = data_.get() + static_cast<size_t>(panel) * panel_bytes_;
  ForLayout(type_, [&](auto layout) {
    using Layout = decltype(layout);
    const int64_t lanes = std::min(kPanel, rows_ - panel * kPanel);
    if (lanes < kPanel) std::memset(to, 0, panel_bytes_);
    const uint8_t* from[kPanel];
    for (int64_t lane = 0; lane < lanes; ++lane) {
      from[lane] = reinterpret_cast<const uint8_t*>(row(panel * kPanel + lane));
    }
    for (int64_t b = 0; b < columns_ / Layout::kColumns; ++b) {
      for (int64_t lane = 0; lane < lanes; ++lane) {
        Block block;
        Decode(type_, from[lane], b, &block);
        Store<Layout>(block, lane, to + static_cast<size_t>(b) * Layout::kBytes);
      }
    }
  });
}

template <class T>
void PackedWeight::Unpack(int64_t panel, int64_t begin, int64_t columns, T* to) const {
  ForLayout(type_, [&](auto layout) {
    using Layout = decltype(layout);
    kernels::UnpackBlocks<Layout>(
        Panel(panel) + static_cast<size_t>(begin / Layout::kColumns) * Layout::kBytes,
        columns / Layout::kColumns, to);
  });
}
template void PackedWeight::Unpack(int64_t, int64_t, int64_t, float*) const;
template void PackedWeight::Unpack(int64_t, int64_t, int64_t, c10::BFloat16*) const;

void PackedWeight::Multiply(int64_t begin, int64_t end, const PackedInput& input, int64_t n, float* y,
                            int64_t y_stride) const {
  if (!RoundsActivations()) {
    return MultiplyExact(begin, end, input.x_.data(), input.sums_.data(), n, y, y_stride);
  }
  ForLayout(type_, [&](auto layout) {
    for (int64_t p = begin; p < end; ++p, y += kPanel) {
      kernels::MultiplyPanelRounded<decltype(layout)>(Panel(p), columns_, input.q_.data(),
                                                      input.scales_.data(), input.sums_.data(), n, y,
                                                      y_stride, std::min(kPanel, rows_ - p * kPanel));
    }
  });
}

void PackedWeight::MultiplyExact(int64_t begin, int64_t end, const float* x, const float* sums, int64_t n,
                                 float* y, int64_t y_stride) const {
  ForLayout(type_, [&](auto layout) {
    for (int64_t p = begin; p < end; ++p, y += kPanel) {
      kernels::MultiplyPanel<decltype(layout)>(Panel(p), columns_, x, sums, n, y, y_stride,
                                               std::min(kPanel, rows_ - p * kPanel));
    }
  });
}

}  // namespace genflow::nn
