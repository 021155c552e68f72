// How a command reports an error: to standard error, with its hint, and as an exit code.
#pragma once

#include "base/result.h"

namespace genflow::cli {

// Exit codes of DESIGN: what scripts may rely on.
inline constexpr int kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitGate = 3, kExitBusy = 4,
                     kExitInterrupted = 75;

// Prints "error: MESSAGE" and "  hint: HINT"; returns the exit code that fits the error.
int Report(const Error& error);

}  // namespace genflow::cli
