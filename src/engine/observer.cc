#include "engine/observer.h"

#include <limits>

namespace genflow {

const char* StageStatusName(StageStatus status) {
  switch (status) {
    case StageStatus::kRan:
      return "ran";
    case StageStatus::kCached:
      return "cached";
    case StageStatus::kFailed:
      return "failed";
    case StageStatus::kGated:
      return "gated";
    case StageStatus::kInterrupted:
      return "interrupted";
    case StageStatus::kSkipped:
      return "skipped";
  }
  return "unknown";
}

double Observer::Tick(double /*now*/) { return std::numeric_limits<double>::infinity(); }

}  // namespace genflow
