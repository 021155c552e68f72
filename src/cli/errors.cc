#include "cli/errors.h"

#include <cstdio>

namespace genflow::cli {

int Report(const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.ToString().c_str());
  switch (error.code) {
    case Code::kInvalid:
    case Code::kNotFound:
      return kExitUsage;
    case Code::kGate:
      return kExitGate;
    case Code::kBusy:
      return kExitBusy;
    case Code::kInterrupted:
      return kExitInterrupted;
    default:
      return kExitFailed;
  }
}

}  // namespace genflow::cli
