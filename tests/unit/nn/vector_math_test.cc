#include "nn/vector_math.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

namespace genflow::nn::kernels {
namespace {

// Halfway between two numbers of bf16, to the even one above and below; what rounds to infinity; what is
// none.
at::Tensor Numbers(int64_t n) {
  at::manual_seed(5);
  const float infinity = std::numeric_limits<float>::infinity();
  const at::Tensor special =
      at::tensor({1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, -3.4e38f, infinity, -infinity, 0.0f, -0.0f,
                  std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::min()},
                 at::kFloat);
  return at::cat({special, at::randn({n}) * at::exp(10 * at::randn({n}))}).narrow(0, 0, n);
}

TEST(NarrowAll, RoundsAsLibtorch) {
  for (int64_t n = 0; n < 130; ++n) {
    const at::Tensor x = Numbers(n), expected = x.to(at::kBFloat16);
    const at::Tensor y = at::full({n + 1}, 7, at::kBFloat16);
    NarrowAll(x.const_data_ptr<float>(), y.mutable_data_ptr<c10::BFloat16>(), n);
    EXPECT_TRUE(at::allclose(y.narrow(0, 0, n), expected, 0, 0, /*equal_nan=*/true)) << n;
    EXPECT_EQ(y[n].item<float>(), 7) << n;
    for (int64_t i = 0; i < n; ++i) {
      const float narrowed = Narrow<c10::BFloat16>(x.const_data_ptr<float>()[i]);
      const float wanted = expected[i].item<float>();
      EXPECT_TRUE(narrowed == wanted || (narrowed != narrowed && wanted != wanted)) << i;
    }
  }
}

TEST(Exp, IsNearAndEndsWhereFloatsDo) {
  const at::Tensor x = at::linspace(-87, 88, 5001, at::kFloat), expected = at::exp(x.to(at::kDouble));
  for (int64_t i = 0; i < x.numel(); ++i) {
    const float at = x[i].item<float>();
    const double e = expected[i].item<double>();
    EXPECT_NEAR(Exp(at) / e, 1, 3e-7) << at;
    EXPECT_NEAR(ExpFor<c10::BFloat16>(at) / e, 1, 1.2e-5) << at;
    if (at > 0) continue;
    EXPECT_EQ(ExpOfNegative<float>(at), Exp(at));
    EXPECT_EQ(ExpOfNegative<c10::BFloat16>(at), ExpFor<c10::BFloat16>(at));
  }
  for (const float low : {-88.0f, -1e30f, -std::numeric_limits<float>::infinity()}) {
    EXPECT_GE(ExpOfNegative<float>(low), 0);
    EXPECT_LT(ExpOfNegative<float>(low), 1e-37f);
    EXPECT_LT(ExpOfNegative<c10::BFloat16>(low), 1e-37f);
  }
}

}  // namespace
}  // namespace genflow::nn::kernels
