#include "store/records.h"

#include <utility>

namespace genflow {

namespace {

constexpr std::pair<RunStatus, const char*> kRunNames[] = {
    {RunStatus::kRunning, "running"},         {RunStatus::kOk, "ok"},
    {RunStatus::kFailed, "failed"},           {RunStatus::kGated, "gated"},
    {RunStatus::kInterrupted, "interrupted"}, {RunStatus::kRecovered, "recovered"},
};

constexpr std::pair<AttemptStatus, const char*> kAttemptNames[] = {
    {AttemptStatus::kRunning, "running"}, {AttemptStatus::kRun, "run"},
    {AttemptStatus::kCached, "cached"},   {AttemptStatus::kFailed, "failed"},
    {AttemptStatus::kSkipped, "skipped"}, {AttemptStatus::kInterrupted, "interrupted"},
    {AttemptStatus::kGated, "gated"},
};

template <class Enum, size_t N>
const char* NameOf(const std::pair<Enum, const char*> (&names)[N], Enum value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "unknown";
}

template <class Enum, size_t N>
std::optional<Enum> ValueOf(const std::pair<Enum, const char*> (&names)[N], std::string_view name) {
  for (const auto& [value, known] : names) {
    if (known == name) return value;
  }
  return std::nullopt;
}

}  // namespace

const std::shared_ptr<const FirstMaker>& FirstMaker::Nobody() {
  static const auto nobody = std::make_shared<const FirstMaker>();
  return nobody;
}

std::filesystem::path ObjectFolder(const std::filesystem::path& objects, const std::string& digest) {
  return objects / digest.substr(0, 2) / digest;
}

const char* RunStatusName(RunStatus status) { return NameOf(kRunNames, status); }
std::optional<RunStatus> RunStatusFromName(std::string_view name) { return ValueOf(kRunNames, name); }
const char* AttemptStatusName(AttemptStatus status) { return NameOf(kAttemptNames, status); }
std::optional<AttemptStatus> AttemptStatusFromName(std::string_view name) {
  return ValueOf(kAttemptNames, name);
}

}  // namespace genflow
