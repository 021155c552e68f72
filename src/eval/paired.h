// How much two metrics that were measured on the same samples vary together.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/report.h"

namespace genflow::eval {

// The sample rows of a report, as far as metrics come from them. Rows of one id are one observation: the
// windows of a text.
struct SampleRows {
  std::vector<std::string> ids;                        // one a row
  std::map<std::string, std::vector<double>> columns;  // one value a row; NaN where there is none
};

// What each sample, by id, adds to the error of a metric's estimate: the estimate is its expectation plus
// their sum, to first order.
using Influences = std::map<std::string, double>;

// Of a metric that comes from `rows` by its own `of_samples`, or, without one, as the mean of a column of its
// name. Nothing where it does not: no such column, fewer than two ids, or rows that give another value than
// the metric has.
std::optional<Influences> InfluencesOf(const Metric& metric, const SampleRows& rows);

// Covariance of two estimates (variance, when both are one) over independent samples, by the delta method
// with the n/(n-1) of a sample variance; as in RatioOfSums(). With equal ids this is the analysis of paired
// differences (Miller, Adding Error Bars to Evals, arXiv:2411.00640, section 4.2). Nothing when the ids
// differ.
std::optional<double> Covariance(const Influences& a, const Influences& b);

}  // namespace genflow::eval
