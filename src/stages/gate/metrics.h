// gate.metrics: requirements held against the metrics of reports.
#pragma once

#include <string>
#include <vector>

#include "genflow/plugin.hpp"

namespace genflow::stages {

struct GateMetrics {
  static constexpr const char* kName = "gate.metrics";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary = "Stops the pipeline when metrics miss what is required.";

  std::vector<std::string> require;
  double tolerance = 0, confidence = 0;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
