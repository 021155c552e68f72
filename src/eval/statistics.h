// Point estimates with their uncertainty.
#pragma once

#include <cstdint>
#include <vector>

namespace genflow::eval {

struct Estimate {
  double value = 0;
  double stderr_value = 0;
  int64_t n = 0;
};

// Mean and its standard error (sample standard deviation / sqrt(n); 0 for n < 2).
Estimate Mean(const std::vector<double>& values);

// Ratio of sums, sum(numerators) / sum(denominators), over examples drawn independently; standard error
// by the delta method (Cochran, Sampling Techniques, 1977, eq. 6.4). This is the loss a token when the
// numerators are loss sums and the denominators token counts. NaN value when the denominators sum to 0.
Estimate RatioOfSums(const std::vector<double>& numerators, const std::vector<double>& denominators);

// exp(x) with the standard error by the delta method.
Estimate Exp(const Estimate& x);

struct Interval {
  double low = 0, high = 1;
};

// Wilson score interval of a proportion (Wilson 1927); z = 1.96 is 95%. n = 0 gives [0, 1].
Interval Wilson(int64_t successes, int64_t n, double z = 1.959963984540054);

// The number that a standard normal variable stays below with probability `p`, 0 < p < 1, to within 1e-9
// (Acklam's approximation, improved by one step of Halley's method).
double NormalQuantile(double p);

}  // namespace genflow::eval
