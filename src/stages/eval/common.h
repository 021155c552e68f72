// What the stages that run a model have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/report.h"
#include "eval/tuned_model.h"
#include "genflow/plugin.hpp"
#include "stages/stage_status.h"

namespace genflow::stages {

struct ModelParams {
  std::string device, dtype, quantization;

  // Parameters "device", "dtype" and "quantization", inputs "model" and "adapter".
  void Declare(Spec& spec);
  // Loads what is connected, on the stage's threads.
  eval::TunedModel Load(const Context& context) const;
};

// Name of the artifact for people: the stage that made it, or the path's last part.
std::string ArtifactName(const Input& input);

// A progress callback that reports `what` ("examples") and stops with the run.
std::function<bool(size_t done, size_t total)> ProgressOf(const Context& context, std::string what,
                                                          std::string message);

// Warns of examples left out, by their ids, and counts them in the metric `too_long`.
void ReportTooLong(const std::vector<std::string>& ids, eval::Report* report, const Context& context);

// Writes the report to output "report", its metrics to the run's metrics.
void Publish(const eval::Report& report, const Context& context);

}  // namespace genflow::stages
