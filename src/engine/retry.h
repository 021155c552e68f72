// Which failures of a stage are tried again, and when.
#pragma once

#include <optional>
#include <string>

#include "config/pipeline.h"

namespace genflow {

// Why an attempt failed, in the words of `retries: { on: [...] }`.
enum class FailureCause {
  kCrash,    // a signal, or a worker that ended or spoke against its protocol
  kTimeout,  // ran longer than its `timeout:`
  kMemory,   // was killed, or said that memory was not enough
  kError,    // the stage said why
  kExit,     // an exec stage's exit code
};

// Whether `retries.on` names the cause; without `on` every cause counts. `code` is an exec stage's exit code.
bool RetriesOn(const StageSpec& stage, FailureCause cause, int code);

// Seconds to wait after attempt `attempt` (from 1): backoff * factor^(attempt - 1), made longer or shorter by
// up to the share `jitter`. The same run, stage and attempt give the same wait.
double RetryDelay(const StageSpec& stage, const std::string& run, int attempt);

}  // namespace genflow
