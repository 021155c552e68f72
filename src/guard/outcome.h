// What came out of a set of probes, as a report.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "eval/report.h"
#include "guard/detector.h"

namespace genflow::guard {

struct ProbeOutcome {
  std::string kind, id, severity;
  std::string prompt;              // the user's turn at fault, or the last one
  std::string answer;              // the answer to it
  std::optional<Finding> finding;  // set: the probe failed
};

// Metrics "guard.pass_rate", "guard.KIND.pass_rate" (each with "_low" and "_high", the 95% Wilson interval)
// and "guard.failures", "guard.SEVERITY.failures"; with `base` (the untuned model on the same probes) the
// same rates under "baseline.guard.". One sample row a probe, failures first; a table of kinds and one of the
// worst failures.
eval::Report GuardReport(const std::vector<ProbeOutcome>& outcomes, const std::vector<ProbeOutcome>* base);

}  // namespace genflow::guard
