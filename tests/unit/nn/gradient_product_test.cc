#include "nn/gradient_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace genflow::nn {
namespace {

class GradientProductTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  void TearDown() override { at::set_num_threads(2); }
};

TEST_P(GradientProductTest, IsTheProductInDoublePrecisionOnEveryNumberOfThreads) {
  at::manual_seed(3);
  struct Shape {
    int64_t tokens, rows, columns;
  };
  // Tokens and columns around the borders of blocks, odd numbers of both.
  for (const Shape& s : std::vector<Shape>{{2, 1, 1},
                                           {64, 16, 48},
                                           {512, 8, 96},
                                           {514, 3, 100},
                                           {1030, 48, 577},
                                           {1031, 16, 31},
                                           {0, 4, 8}}) {
    // Views into wider matrices, as the parts of a group are.
    const at::Tensor a = at::randn({s.tokens, s.rows + 5}).to(GetParam()).narrow(1, 2, s.rows);
    const at::Tensor b = at::randn({s.tokens, s.columns + 3}).to(GetParam()).narrow(1, 1, s.columns);
    const at::Tensor expected = at::mm(a.to(at::kDouble).t(), b.to(at::kDouble));
    std::vector<at::Tensor> results;
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      results.push_back(GradientProduct(a, b));
    }
    EXPECT_EQ(results[0].scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(results[0], results[1]) && at::equal(results[0], results[2]));
    if (s.tokens == 0) {
      EXPECT_EQ(results[0].abs().sum().item<float>(), 0);
      continue;
    }
    // An odd number of tokens in bf16 is libtorch's, which rounds the sums.
    const double rounding = GetParam() == at::kBFloat16 && s.tokens % 2 != 0 ? 0x1p-7 : 2e-6;
    const double size = std::sqrt(static_cast<double>(s.tokens));
    EXPECT_LT((results[0] - expected).abs().max().item<double>(), rounding * 4 * size) << s.tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GradientProductTest, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) { return type.param == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace genflow::nn
