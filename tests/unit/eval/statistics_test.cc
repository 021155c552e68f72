#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace genflow::eval {
namespace {

TEST(Statistics, MeanAndItsStandardError) {
  const Estimate mean = Mean({1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(mean.value, 2.5);
  EXPECT_NEAR(mean.stderr_value, std::sqrt(5.0 / 3 / 4), 1e-12);
  EXPECT_EQ(mean.n, 4);
  EXPECT_EQ(Mean({7}).stderr_value, 0);
  EXPECT_TRUE(std::isnan(Mean({}).value));
}

TEST(Statistics, RatioOfSumsWeighsByDenominator) {
  const Estimate ratio = RatioOfSums({10, 1}, {10, 2});
  EXPECT_DOUBLE_EQ(ratio.value, 11.0 / 12);
  EXPECT_TRUE(std::isnan(RatioOfSums({0}, {0}).value));
}

// The delta method's standard error against the spread of the estimate over many drawn samples.
TEST(Statistics, RatioStandardErrorMatchesResampling) {
  std::mt19937_64 generator(7);
  std::normal_distribution<double> noise(0, 0.4);
  std::uniform_int_distribution<int> length(5, 40);
  std::vector<double> estimates;
  double stated = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::vector<double> loss, tokens;
    for (int i = 0; i < 60; ++i) {
      const double n = length(generator);
      tokens.push_back(n);
      loss.push_back(n * (2 + noise(generator)));
    }
    const Estimate ratio = RatioOfSums(loss, tokens);
    estimates.push_back(ratio.value);
    stated += ratio.stderr_value / 400;
  }
  const Estimate spread = Mean(estimates);
  EXPECT_NEAR(stated, spread.stderr_value * std::sqrt(400.0), stated * 0.12);
}

TEST(Statistics, ExpCarriesTheError) {
  const Estimate perplexity = Exp({2, 0.01, 50});
  EXPECT_DOUBLE_EQ(perplexity.value, std::exp(2));
  EXPECT_DOUBLE_EQ(perplexity.stderr_value, std::exp(2) * 0.01);
}

// Reference values: the roots q of (k/n - q)^2 = z^2 q (1 - q) / n, found by bisection.
TEST(Statistics, WilsonInterval) {
  EXPECT_NEAR(Wilson(8, 10).low, 0.4901624715366417, 1e-12);
  EXPECT_NEAR(Wilson(8, 10).high, 0.9433178485456247, 1e-12);
  EXPECT_EQ(Wilson(0, 8).low, 0);
  EXPECT_NEAR(Wilson(0, 8).high, 0.32440756488388023, 1e-12);
  EXPECT_EQ(Wilson(8, 8).high, 1);
  EXPECT_EQ(Wilson(0, 0).low, 0);
  EXPECT_EQ(Wilson(0, 0).high, 1);
}

// Values of R's qnorm().
TEST(Statistics, NormalQuantile) {
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-9);
  EXPECT_NEAR(NormalQuantile(0.5), 0, 1e-12);
  EXPECT_NEAR(NormalQuantile(0.01), -2.326347874040841, 1e-9);
  EXPECT_NEAR(NormalQuantile(0.9999995), 4.891638475714779, 1e-8);
}

}  // namespace
}  // namespace genflow::eval
