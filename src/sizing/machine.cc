#include "sizing/machine.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/cgroup.h"
#include "base/files.h"
#include "base/strings.h"

namespace genflow::sizing {
namespace {

// The number that a text begins with, after a name where one is given; nothing for "max".
std::optional<uint64_t> NumberAfter(std::string_view text, std::string_view name) {
  if (!text.starts_with(name)) return std::nullopt;
  text = Trim(text.substr(name.size()));
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<uint64_t> MemAvailable() {
  const auto text = ReadFile("/proc/meminfo", 1 << 20);
  if (!text.ok()) return std::nullopt;
  for (const std::string_view line : Split(*text, '\n')) {
    if (const auto kib = NumberAfter(line, "MemAvailable:")) return *kib * 1024;
  }
  return std::nullopt;
}

}  // namespace

AvailableMemory MemoryLeft(uint64_t limit) {
  AvailableMemory left{UINT64_MAX, "this machine has left"};
  if (const auto bytes = MemAvailable()) left.bytes = *bytes;
  const auto limits = CgroupLines("memory.max"), used = CgroupLines("memory.stat");
  for (size_t i = 0; i < limits.size(); ++i) {
    const auto most = NumberAfter(limits[i], "");
    if (!most) continue;
    // Pages of files can be dropped: "anon" alone, the first line, counts as taken.
    const uint64_t taken = i < used.size() ? NumberAfter(used[i], "anon ").value_or(0) : 0;
    const uint64_t bytes = *most > taken ? *most - taken : 0;
    if (bytes < left.bytes) left = {bytes, "its control group allows"};
  }
  if (limit > 0 && limit < left.bytes) left = {limit, "its resources allow"};
  return left;
}

}  // namespace genflow::sizing
