#include "nn/decode/few_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace genflow::nn::kernels {
namespace {

using c10::BFloat16;

template <class T>
std::vector<T> Random(size_t count, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(normal(generator));
  return values;
}

template <class T>
class FewRows : public testing::Test {};
using Types = testing::Types<float, BFloat16>;
TYPED_TEST_SUITE(FewRows, Types);

TYPED_TEST(FewRows, MultiplyIsTheProduct) {
  constexpr int64_t kRows = 37;
  for (const int64_t columns : {1, 16, 50, 576}) {
    const int64_t w_stride = columns + 3, x_stride = columns + 5;
    const auto w = Random<TypeParam>(kRows * w_stride, 1);
    for (const int64_t n : {1, 2, 3, 8, 15}) {
      const auto x = Random<float>(n * x_stride, 2);
      std::vector<float> y(n * kRows, NAN);
      MultiplyFew(w.data(), w_stride, kRows, columns, x.data(), x_stride, n, y.data(), kRows);
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t r = 0; r < kRows; ++r) {
          double expected = 0, size = 0;
          for (int64_t k = 0; k < columns; ++k) {
            const double term =
                static_cast<double>(w[r * w_stride + k]) * static_cast<double>(x[t * x_stride + k]);
            expected += term;
            size += std::abs(term);
          }
          ASSERT_NEAR(y[t * kRows + r], expected, 2e-7 * size + 1e-30) << columns << " " << n;
        }
      }
    }
  }
}

TYPED_TEST(FewRows, ATokensProductDependsOnNoNeighbour) {
  constexpr int64_t kRows = 21, kColumns = 200, kTokens = 15;
  const auto w = Random<TypeParam>(kRows * kColumns, 3);
  const auto x = Random<float>(kTokens * kColumns, 4);
  std::vector<float> all(kTokens * kRows);
  MultiplyFew(w.data(), kColumns, kRows, kColumns, x.data(), kColumns, kTokens, all.data(), kRows);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t r = 0; r < kRows; ++r) {
      float one = NAN;
      MultiplyFew(w.data() + r * kColumns, kColumns, 1, kColumns, x.data() + t * kColumns, kColumns, 1, &one,
                  1);
      ASSERT_EQ(one, all[t * kRows + r]);
    }
  }
}

TYPED_TEST(FewRows, AttendIsSoftmaxOfTheProducts) {
  for (const int64_t dim : {6, 16, 64, 80, 128}) {
    for (const int64_t length : {1, 7, 300}) {
      const auto q = Random<float>(dim, 5);
      const auto k = Random<TypeParam>(length * dim, 6), v = Random<TypeParam>(length * dim, 7);
      std::vector<float> scores(length), out(dim, NAN);
      AttendOne(q.data(), k.data(), v.data(), length, dim, 0.125f, scores.data(), out.data());
      std::vector<double> weights(length);
      double largest = -INFINITY, sum = 0;
      for (int64_t t = 0; t < length; ++t) {
        for (int64_t d = 0; d < dim; ++d) weights[t] += 0.125 * q[d] * static_cast<double>(k[t * dim + d]);
        largest = std::max(largest, weights[t]);
      }
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      for (int64_t d = 0; d < dim; ++d) {
        double expected = 0;
        for (int64_t t = 0; t < length; ++t)
          expected += weights[t] / sum * static_cast<double>(v[t * dim + d]);
        ASSERT_NEAR(out[d], expected, 2e-6) << dim << " " << length;
      }
    }
  }
}

}  // namespace
}  // namespace genflow::nn::kernels
