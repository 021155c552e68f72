#include "eval/paired.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace genflow::eval {

std::optional<Influences> InfluencesOf(const Metric& metric, const SampleRows& rows) {
  const SampleEstimator how = metric.of_samples.value_or(SampleEstimator{.column = metric.name});
  const auto values = rows.columns.find(how.column), weights = rows.columns.find(how.weight);
  if (values == rows.columns.end() || (!how.weight.empty() && weights == rows.columns.end())) {
    return std::nullopt;
  }
  std::map<std::string, std::pair<double, double>> sums;  // id -> sum of value * weight, sum of weights
  double top = 0, bottom = 0;
  for (size_t i = 0; i < rows.ids.size(); ++i) {
    const double value = values->second[i], weight = how.weight.empty() ? 1 : weights->second[i];
    if (std::isnan(value) || std::isnan(weight)) continue;
    auto& [value_sum, weight_sum] = sums[rows.ids[i]];
    value_sum += value * weight;
    weight_sum += weight;
    top += value * weight;
    bottom += weight;
  }
  if (sums.size() < 2 || bottom == 0) return std::nullopt;
  const double ratio = top / bottom, estimate = how.exp ? std::exp(ratio) : ratio;
  if (!std::isfinite(estimate) ||
      std::abs(estimate - metric.value) > 1e-6 * std::max(1.0, std::abs(metric.value))) {
    return std::nullopt;
  }
  const double slope = (how.exp ? estimate : 1) / bottom;
  Influences out;
  for (const auto& [id, sum] : sums) out[id] = slope * (sum.first - ratio * sum.second);
  return out;
}

std::optional<double> Covariance(const Influences& a, const Influences& b) {
  if (a.size() != b.size() || a.size() < 2) return std::nullopt;
  double sum = 0;
  for (auto x = a.begin(), y = b.begin(); x != a.end(); ++x, ++y) {
    if (x->first != y->first) return std::nullopt;
    sum += x->second * y->second;
  }
  const double n = static_cast<double>(a.size());
  return sum * n / (n - 1);
}

}  // namespace genflow::eval
