#include "nn/product_rate.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>

#include "nn/linear.h"

namespace genflow::nn {
namespace {

constexpr int64_t kRows = 512;

double Gflops(int64_t hidden, int64_t out, at::ScalarType dtype) {
  constexpr int kTimes = 4;
  const at::Tensor x = at::full({kRows, hidden}, 0.5, dtype), dy = at::full({kRows, out}, 0.5, dtype);
  const at::Tensor w = at::full({out, hidden}, 0.25, dtype);
  double best = 0;
  for (int i = 0; i < kTimes; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    (void)MultiplyTransposed(x, w);
    (void)Multiply(dy, w);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    const double flop = 4.0 * kRows * static_cast<double>(hidden) * static_cast<double>(out);
    best = std::max(best, flop / passed.count() / 1e9);
  }
  return best;
}

}  // namespace

ProductRates MeasureProducts(int64_t hidden, int64_t intermediate) {
  const c10::InferenceMode inference;
  return {Gflops(hidden, 2 * intermediate, at::kFloat), Gflops(hidden, 2 * intermediate, at::kBFloat16)};
}

}  // namespace genflow::nn
