#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
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

double NormalQuantile(double p) {
  if (p > 0.5) return -NormalQuantile(1 - p);
  constexpr double kA[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                           1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double kB[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                           6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double kC[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                           -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double kD[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                           3.754408661907416e+00};
  double x = 0;
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    x = (((((kC[0] * q + kC[1]) * q + kC[2]) * q + kC[3]) * q + kC[4]) * q + kC[5]) /
        ((((kD[0] * q + kD[1]) * q + kD[2]) * q + kD[3]) * q + 1);
  } else {
    const double q = p - 0.5, r = q * q;
    x = (((((kA[0] * r + kA[1]) * r + kA[2]) * r + kA[3]) * r + kA[4]) * r + kA[5]) * q /
        (((((kB[0] * r + kB[1]) * r + kB[2]) * r + kB[3]) * r + kB[4]) * r + 1);
  }
  const double error = 0.5 * std::erfc(-x / std::numbers::sqrt2) - p;
  const double step = error * std::sqrt(2 * std::numbers::pi) * std::exp(x * x / 2);
  return x - step / (1 + x * step / 2);
}

}  // namespace genflow::eval
