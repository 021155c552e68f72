#include "formats/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace genflow::formats {
namespace {

std::vector<uint16_t> AllHalves() {
  std::vector<uint16_t> out(65536);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint16_t>(i);
  return out;
}

// The definition of IEEE 754 binary16.
double HalfValue(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 1023;
  const double magnitude = exponent == 31  ? (mantissa == 0 ? INFINITY : NAN)
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}

TEST(DType, EveryHalfBothWays) {
  const auto halves = AllHalves();
  std::vector<float> floats(halves.size());
  std::vector<uint16_t> back(halves.size());
  ConvertElements(halves.data(), DType::kF16, floats.data(), DType::kF32, halves.size());
  ConvertElements(floats.data(), DType::kF32, back.data(), DType::kF16, floats.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    const double value = HalfValue(halves[i]);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(floats[i])) << i;
      EXPECT_TRUE(std::isnan(HalfValue(back[i]))) << i;
    } else {
      EXPECT_EQ(floats[i], static_cast<float>(value)) << i;
      EXPECT_EQ(back[i], halves[i]) << i;
    }
  }
}

// One element at a time takes the scalar path, many take the vector path.
TEST(DType, ScalarAndVectorPathsAgree) {
  std::vector<float> floats;
  uint32_t random = 7;
  for (int i = 0; i < 200003; ++i) {
    random = random * 1664525u + 1013904223u;
    // Bits around the range of a half, and anything at all.
    floats.push_back(std::bit_cast<float>(i % 3 == 0 ? random : (random & 0x8fffffffu) | 0x30000000u));
  }
  for (const DType type : {DType::kF16, DType::kBF16}) {
    std::vector<uint16_t> bulk(floats.size()), single(floats.size());
    ConvertElements(floats.data(), DType::kF32, bulk.data(), type, floats.size());
    for (size_t i = 0; i < floats.size(); ++i) ConvertElements(&floats[i], DType::kF32, &single[i], type, 1);
    EXPECT_EQ(bulk, single) << DTypeName(type);
  }
}

TEST(DType, RoundsToNearestEven) {
  const auto half = [](float value) {
    uint16_t out = 0;
    ConvertElements(&value, DType::kF32, &out, DType::kF16, 1);
    return out;
  };
  const auto brain = [](float value) {
    uint16_t out = 0;
    ConvertElements(&value, DType::kF32, &out, DType::kBF16, 1);
    return out;
  };
  EXPECT_EQ(half(1.0f + 0x1p-11f), 0x3c00);      // tie, down to even
  EXPECT_EQ(half(1.0f + 3 * 0x1p-11f), 0x3c02);  // tie, up to even
  EXPECT_EQ(half(65519.0f), 0x7bff);
  EXPECT_EQ(half(65520.0f), 0x7c00);  // to infinity
  EXPECT_EQ(half(0x1p-25f), 0x0000);  // tie with zero
  EXPECT_EQ(half(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(half(-0.0f), 0x8000);
  EXPECT_EQ(brain(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(brain(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_EQ(brain(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(brain(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // a NaN stays one
}

TEST(DType, BetweenTheSixteenBitTypes) {
  const std::vector<uint16_t> halves(3000, 0x3c01);  // 1 + 2^-10
  std::vector<uint16_t> brains(halves.size());
  ConvertElements(halves.data(), DType::kF16, brains.data(), DType::kBF16, halves.size());
  EXPECT_EQ(brains, std::vector<uint16_t>(3000, 0x3f80));
}

TEST(DType, Names) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(ParseDType(DTypeName(type)), type);
    EXPECT_EQ(ParseDType(DTypeTag(type)), type);
  }
  EXPECT_EQ(ParseDType("bf16"), DType::kBF16);
  EXPECT_EQ(ParseDType("int8"), std::nullopt);
}

}  // namespace
}  // namespace genflow::formats
