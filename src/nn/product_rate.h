// How fast this machine multiplies, on a model's own shapes.
#pragma once

#include <cstdint>

namespace genflow::nn {

struct ProductRates {
  double fp32_gflops = 0, bf16_gflops = 0;
};

// The best of a few products of 512 rows with [2 * intermediate, hidden], both ways. Takes a second or two.
// Throws c10::Error.
ProductRates MeasureProducts(int64_t hidden, int64_t intermediate);

}  // namespace genflow::nn
