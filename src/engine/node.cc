#include "engine/node.h"

#include "engine/engine.h"

namespace genflow {

void Conclude(RunReport* report, int signal, bool self_interrupted) {
  bool failed = false, gated = false;
  for (const StageResult& result : report->stages) {
    failed |= result.status == StageStatus::kFailed;
    gated |= result.status == StageStatus::kGated;
    report->resumable |= result.status == StageStatus::kRan;
  }
  if (signal != 0 || self_interrupted) {
    report->status = RunStatus::kInterrupted;
    report->exit_code = report->resumable || signal == 0 ? kExitInterrupted : 128 + signal;
  } else if (failed) {
    report->status = RunStatus::kFailed;
    report->exit_code = kExitFailed;
  } else if (gated) {
    report->status = RunStatus::kGated;
    report->exit_code = kExitGate;
  }
}

}  // namespace genflow
