// The curves of a training, what it reports at each update, and how far they are from others.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nn/train/sft.h"
#include "train_testing.h"

namespace genflow::nn::train {

using Curves = std::map<std::string, std::vector<double>>;

// A hook that writes them down.
inline auto Record(Curves* curves) {
  return [curves](const char* name, double value, int64_t) { (*curves)[name].push_back(value); };
}

// A fixture's, whose names begin with a prefix.
inline Curves CurvesOf(const Tensors& fixture, const std::string& prefix) {
  Curves curves;
  for (const char* name : {"loss", "grad_norm", "learning_rate"}) {
    const at::Tensor values = fixture.Get(prefix + name).to(at::kDouble);
    curves[name].assign(values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
  }
  return curves;
}

// The largest difference, and the mean.
struct CurveBounds {
  double max, mean;
};

inline void ExpectCurve(const Curves& curves, const Curves& expected, const std::string& name,
                        const CurveBounds& bounds) {
  const auto &x = curves.at(name), &y = expected.at(name);
  ASSERT_EQ(x.size(), y.size()) << name;
  double max = 0, sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    max = std::max(max, std::abs(x[i] - y[i]));
    sum += std::abs(x[i] - y[i]);
  }
  EXPECT_LE(max, bounds.max) << name;
  EXPECT_LE(sum / static_cast<double>(x.size()), bounds.mean) << name << "; no NaN, either";
}

// What SFTTrainer logs, within the bounds of TRL's own tests.
inline void ExpectCurvesOfSftTrainer(const Curves& curves, const Tensors& fixture,
                                     const std::string& prefix) {
  const Curves expected = CurvesOf(fixture, prefix);
  ExpectCurve(curves, expected, "loss", {1e-3, 1e-5});
  ExpectCurve(curves, expected, "grad_norm", {0.1, 1e-3});
  ExpectCurve(curves, expected, "learning_rate", {1e-8, 1e-8});
}

}  // namespace genflow::nn::train
