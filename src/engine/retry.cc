#include "engine/retry.h"

#include <algorithm>
#include <cmath>

#include "base/sha256.h"

namespace genflow {

namespace {

constexpr int kMaxDoublings = 20;
constexpr double kMaxDelay = 24 * 3600;

const char* Word(FailureCause cause) {
  switch (cause) {
    case FailureCause::kCrash:
      return "crash";
    case FailureCause::kTimeout:
      return "timeout";
    case FailureCause::kMemory:
      return "memory";
    case FailureCause::kError:
      return "error";
    case FailureCause::kExit:
      return "exit";
  }
  return "";
}

}  // namespace

bool RetriesOn(const StageSpec& stage, FailureCause cause, int code) {
  if (stage.retry_on.empty()) return true;
  const std::string word = Word(cause), with_code = word + ":" + std::to_string(code);
  return std::any_of(stage.retry_on.begin(), stage.retry_on.end(), [&](const std::string& on) {
    return on == word || (cause == FailureCause::kExit && on == with_code);
  });
}

double RetryDelay(const StageSpec& stage, const std::string& run, int attempt) {
  double delay = stage.retry_backoff * std::pow(stage.retry_factor, std::min(attempt - 1, kMaxDoublings));
  if (stage.retry_jitter > 0) {
    const std::string digest = Sha256Hex(run + "/" + stage.id + "/" + std::to_string(attempt));
    const double unit = static_cast<double>(std::stoull(digest.substr(0, 12), nullptr, 16)) / 0x1p48;
    delay *= 1 + stage.retry_jitter * (2 * unit - 1);
  }
  return std::min(delay, kMaxDelay);
}

}  // namespace genflow
