#include "nn/decode/packed_weight.h"

#include <ggml.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "nn/decode/packed_kernels.h"
#include "nn/product_kernels.h"

namespace genflow::nn {
namespace {

std::vector<float> Random(size_t count, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

class Packed : public testing::TestWithParam<ggml_type> {
 protected:
  static constexpr int64_t kRows = 41, kColumns = 768;

  void SetUp() override {
    const auto weights = Random(kRows * kColumns, 1);
    row_bytes_ = ggml_row_size(GetParam(), kColumns);
    quantised_.resize(kRows * row_bytes_);
    ggml_quantize_chunk(GetParam(), weights.data(), quantised_.data(), 0, kRows, kColumns, nullptr);
    exact_.resize(kRows * kColumns);
    ggml_get_type_traits(GetParam())->to_float(quantised_.data(), exact_.data(), kRows * kColumns);
    std::string name = ggml_type_name(GetParam());
    for (char& c : name) c = static_cast<char>(std::toupper(c));
    const auto type = PackedTypeOf(name, kColumns);
    ASSERT_TRUE(type) << name;
    packed_ = std::make_unique<PackedWeight>(
        *type, kRows, kColumns,
        std::shared_ptr<uint8_t>(new uint8_t[PackedWeight::BytesOf(*type, kRows, kColumns)],
                                 std::default_delete<uint8_t[]>()));
    for (int64_t p = 0; p < packed_->panels(); ++p) {
      packed_->PackPanel(p, [&](int64_t row) { return quantised_.data() + row * row_bytes_; });
    }
  }

  // y of all rows and tokens is the product, to the roundings of fp32.
  void ExpectProduct(const std::vector<float>& y, const std::vector<float>& x, int64_t n) const {
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t r = 0; r < kRows; ++r) {
        double expected = 0, size = 0;
        for (int64_t k = 0; k < kColumns; ++k) {
          const double term = static_cast<double>(exact_[r * kColumns + k]) * x[t * kColumns + k];
          expected += term;
          size += std::abs(term);
        }
        ASSERT_NEAR(y[t * kRows + r], expected, 1e-5 * size) << "row " << r << ", token " << t;
      }
    }
  }

  size_t row_bytes_ = 0;
  std::vector<std::byte> quantised_;
  std::vector<float> exact_;
  std::unique_ptr<PackedWeight> packed_;
};
INSTANTIATE_TEST_SUITE_P(Types, Packed,
                         testing::Values(GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1,
                                         GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K),
                         [](const auto& info) { return std::string(ggml_type_name(info.param)); });

TEST_P(Packed, ProductIsThatOfTheDequantisedWeight) {
  for (const int64_t n : {1, 2, 5, 8, 11}) {
    auto x = Random(n * kColumns, 2);
    if (RoundsActivations()) {  // the product is of what they are rounded to
      for (size_t begin = 0; begin < x.size(); begin += 32) {
        float largest = 0;
        for (size_t i = begin; i < begin + 32; ++i) largest = std::max(largest, std::abs(x[i]));
        for (size_t i = begin; i < begin + 32; ++i)
          x[i] = std::nearbyint(x[i] * (127 / largest)) * largest / 127;
      }
    }
    PackedInput input;
    input.Resize(n, kColumns);
    for (int64_t t = 0; t < n; ++t) input.Set(t, x.data() + t * kColumns);
    std::vector<float> y(n * kRows, NAN);
    packed_->Multiply(0, 1, input, n, y.data(), kRows);
    packed_->Multiply(1, packed_->panels(), input, n, y.data() + PackedWeight::kPanel, kRows);
    ExpectProduct(y, x, n);
  }
}

// What is multiplied on CPUs without 8-bit products.
TEST_P(Packed, ProductWithoutRounding) {
  const int64_t n = 5;
  const auto x = Random(n * kColumns, 3);
  std::vector<float> sums(n * kColumns / 16), y(n * kRows, NAN);
  for (int64_t t = 0; t < n; ++t)
    kernels::SumRow(x.data() + t * kColumns, kColumns, sums.data() + t * kColumns / 16);
  packed_->MultiplyExact(0, packed_->panels(), x.data(), sums.data(), n, y.data(), kRows);
  ExpectProduct(y, x, n);
}

// Any part of a panel, to the bit what dequantising makes of it, in the layout of a product.
TEST_P(Packed, UnpacksToTheDequantisedWeight) {
  constexpr int64_t kWide = kernels::kPanel<float>, kNarrow = kernels::kPanel<c10::BFloat16>, kBegin = 256,
                    kCount = 320;
  std::vector<float> wide(kCount * kWide, 7);
  std::vector<c10::BFloat16> narrow(kCount * kNarrow, 7);
  for (int64_t panel = 0; panel < packed_->panels(); ++panel) {
    packed_->Unpack(panel, kBegin, kCount, wide.data());
    packed_->Unpack(panel, kBegin, kCount, narrow.data());
    for (int64_t lane = 0; lane < PackedWeight::kPanel; ++lane) {
      const int64_t row = panel * PackedWeight::kPanel + lane;
      if (row >= kRows) break;
      for (int64_t d = 0; d < kCount; ++d) {
        const float expected = exact_[row * kColumns + kBegin + d];
        ASSERT_EQ(wide[d * kWide + lane], expected) << "row " << row << ", column " << kBegin + d;
        ASSERT_EQ(narrow[d / 2 * 2 * kNarrow + 2 * lane + d % 2], c10::BFloat16(expected));
      }
    }
  }
  EXPECT_EQ(wide[PackedWeight::kPanel], 7) << "no other column is written";
  EXPECT_EQ(static_cast<float>(narrow[2 * PackedWeight::kPanel]), 7);
}

TEST(PackedTypeOf, KnowsWholeBlocksOfItsTypesAlone) {
  EXPECT_EQ(PackedTypeOf("Q4_1", 576), PackedType::kQ4_1);
  EXPECT_EQ(PackedTypeOf("Q4_1", 570), std::nullopt);
  EXPECT_EQ(PackedTypeOf("Q6_K", 576), std::nullopt);
  EXPECT_EQ(PackedTypeOf("Q6_K", 1536), PackedType::kQ6_K);
  EXPECT_EQ(PackedTypeOf("F16", 576), std::nullopt);
}

TEST(RoundRow, OfZerosIsZero) {
  const std::vector<float> x(32, 0.0f);
  std::vector<int8_t> q(32, 1);
  float scale = NAN, sums[2];
  kernels::RoundRow(x.data(), 32, q.data(), &scale, sums);
  EXPECT_EQ(q, std::vector<int8_t>(32, 0));
  EXPECT_EQ(scale, 0);
  EXPECT_EQ(sums[0] + sums[1], 0);
}

}  // namespace
}  // namespace genflow::nn
