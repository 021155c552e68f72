// The metrics of a run's stages.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "store/store.h"

namespace genflow::cli {

// A metric's value for people.
std::string MetricText(double value);

// The last attempt of each stage, in order of start.
std::vector<AttemptInfo> LastAttempts(const std::vector<AttemptInfo>& attempts);

// Points of each metric, by step. A cached stage's are those of the run that computed it.
using StageMetrics = std::map<std::string, std::vector<MetricPoint>>;
Result<StageMetrics> MetricsOf(Store& store, const AttemptInfo& attempt);

// {stage: {metric: last value}} of the attempts' stages; stages without metrics are left out.
Result<nlohmann::json> LastMetrics(Store& store, const std::vector<AttemptInfo>& attempts);

// `runs metrics`.
void AddRunMetricsCommand(CLI::App& runs, Action& action);

}  // namespace genflow::cli
