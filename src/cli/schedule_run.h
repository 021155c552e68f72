// One start of a schedule: its run in a process of its own, with the log.
#pragma once

#include <optional>

#include "base/result.h"
#include "cli/schedules.h"

namespace genflow::cli {

// `now`: whatever the due times are, and without delay. Otherwise nothing happens when the last due time has
// been answered. Returns the run's exit code; nothing when there was nothing to do.
Result<std::optional<int>> RunSchedule(const Schedule& schedule, bool now);

}  // namespace genflow::cli
