// A run as Markdown for the page of a CI job.
#pragma once

#include <cstddef>
#include <string>

#include "cli/ci_outcome.h"

namespace genflow::cli {

// GitHub shows at most 1 MiB a step.
inline constexpr size_t kMaxCiSummary = 900u << 10;

// Stages, requirements and metrics against the baseline as tables, then what failed with the last lines of
// its log, then the stages' own summaries. Names and messages cannot break out of their cells or blocks. At
// most kMaxCiSummary bytes.
std::string RenderCiSummary(const RunOutcome& outcome);

}  // namespace genflow::cli
