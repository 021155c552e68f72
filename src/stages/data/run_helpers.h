// What the data stages share: progress and errors of the library as those of a stage.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "genflow/plugin.hpp"
#include "stages/stage_status.h"

namespace genflow::stages {

// Reports to the host and stops when it wants to.
inline std::function<bool(uint64_t, uint64_t)> ProgressOf(const Context& context, std::string unit) {
  return [&context, unit = std::move(unit)](uint64_t done, uint64_t total) {
    context.Progress(done, total, unit);
    return !context.ShouldStop();
  };
}

// The value; nothing when the work was interrupted on request; else the end of the stage.
template <class T>
std::optional<T> ValueUnlessStopped(Result<T> result) {
  if (!result.ok() && result.error().code == Code::kInterrupted) return std::nullopt;
  return ValueOf(std::move(result));
}

}  // namespace genflow::stages
