#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace genflow::eval {

Estimate Mean(const std::vector<double>& values) {
  Estimate out;
  out.n = static_cast<int64_t>(values.size());
  if (values.empty()) {
    out.value = std::numeric_limits<double>::quiet_NaN();
    return out;
  }
  const double n = static_cast<double>(values.size());
  out.value = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return out;
  double squares = 0;
  for (const double v : values) squares += (v - out.value) * (v - out.value);
  out.stderr_value = std::sqrt(squares / (n - 1) / n);
  return out;
}

Estimate RatioOfSums(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  Estimate out;
  out.n = static_cast<int64_t>(numerators.size());
  const double top = std::accumulate(numerators.begin(), numerators.end(), 0.0);
  const double bottom = std::accumulate(denominators.begin(), denominators.end(), 0.0);
  if (bottom == 0) {
    out.value = std::numeric_limits<double>::quiet_NaN();
    return out;
  }
  out.value = top / bottom;
  if (numerators.size() < 2) return out;
  double squares = 0;
  for (size_t i = 0; i < numerators.size(); ++i) {
    const double residual = numerators[i] - out.value * denominators[i];
    squares += residual * residual;
  }
  const double n = static_cast<double>(numerators.size());
  out.stderr_value = std::sqrt(squares * n / (n - 1)) / std::abs(bottom);
  return out;
}

Estimate Exp(const Estimate& x) {
  const double value = std::exp(x.value);
  return {value, value * x.stderr_value, x.n};
}

Interval Wilson(int64_t successes, int64_t n, double z) {
  if (n <= 0) return {0, 1};
  const double count = static_cast<double>(n);
  const double p = static_cast<double>(successes) / count;
  const double z2 = z * z;
  const double center = (p + z2 / (2 * count)) / (1 + z2 / count);
  const double half = z / (1 + z2 / count) * std::sqrt(p * (1 - p) / count + z2 / (4 * count * count));
  // The bounds are exactly 0 and 1 at the ends; rounding would leave 1e-17 behind.
  return {successes == 0 ? 0 : std::max(0.0, center - half),
          successes == n ? 1 : std::min(1.0, center + half)};
}

}  // namespace genflow::eval
