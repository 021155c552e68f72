#include "engine/resources.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/cgroup.h"
#include "base/strings.h"

namespace genflow {

namespace {

template <class T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

int64_t DetectCpus() {
  int64_t cpus = ::sysconf(_SC_NPROCESSORS_ONLN);
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) cpus = CPU_COUNT(&set);
  for (const auto& quota : CgroupLines("cpu.max")) {  // "200000 100000" or "max 100000"
    const auto parts = Split(quota, ' ');
    if (parts.size() == 2) {
      const auto limit = ParseNumber<int64_t>(parts[0]), period = ParseNumber<int64_t>(parts[1]);
      if (limit && period && *period > 0) cpus = std::min(cpus, (*limit + *period - 1) / *period);
    }
  }
  return std::max<int64_t>(1, cpus);
}

std::vector<int> DetectGpus() {
  std::vector<int> gpus;
  if (DIR* dev = ::opendir("/dev")) {
    while (const dirent* entry = ::readdir(dev)) {
      const std::string_view name = entry->d_name;
      if (!name.starts_with("nvidia")) continue;
      if (const auto number = ParseNumber<int>(name.substr(6))) gpus.push_back(*number);
    }
    ::closedir(dev);
  }
  std::sort(gpus.begin(), gpus.end());
  // The runtime numbers what CUDA_VISIBLE_DEVICES leaves over; stages are given these names.
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"); visible != nullptr) {
    std::vector<int> kept;
    for (const auto piece : Split(visible, ',')) {
      const auto number = ParseNumber<int>(Trim(piece));
      if (!number || *number < 0) break;
      if (std::find(gpus.begin(), gpus.end(), *number) != gpus.end()) kept.push_back(*number);
    }
    return kept;
  }
  return gpus;
}

uint64_t DetectMemory() {
  uint64_t bytes =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
  for (const auto& limit : CgroupLines("memory.max")) {
    if (const auto number = ParseNumber<uint64_t>(limit)) bytes = std::min(bytes, *number);
  }
  return bytes;
}

}  // namespace

Pools DetectPools() {
  Pools pools;
  pools.cpus = DetectCpus();
  pools.gpus = DetectGpus();
  pools.memory = DetectMemory();
  return pools;
}

bool UsesGpuPool(const StageSpec& stage) {
  if (stage.resources.gpus) return true;
  return stage.info != nullptr && stage.info->FindParam("device") != nullptr;
}

Demand DemandOf(const StageSpec& stage, const Pools& pools) {
  Demand demand;
  if (stage.resources.gpus) {
    demand.gpus_min = stage.resources.gpus->min;
    demand.gpus_max = stage.resources.gpus->max;
  } else if (UsesGpuPool(stage)) {
    const auto given = stage.with.find("device");
    const std::string device =
        given != stage.with.end() && given->is_string() ? given->get<std::string>() : "";
    demand.gpus_max = device == "cpu" ? 0 : stage.resources.processes;
    constexpr std::string_view kNumbered = "cuda:";
    if (device.starts_with(kNumbered))
      demand.gpu = ParseNumber<size_t>(std::string_view(device).substr(kNumbered.size()));
  }
  if (stage.resources.cpus) {
    demand.cpus_min = stage.resources.cpus->min;
    demand.cpus_max = stage.resources.cpus->max;
  } else if (stage.info != nullptr) {
    demand.cpus_max = pools.cpus;
    const bool on_gpu = demand.gpus_max > 0 && !pools.gpus.empty();
    if (stage.info->FindParam("device") != nullptr && !on_gpu) demand.cpus_min = pools.cpus;
  }
  demand.memory = stage.resources.memory.value_or(0);
  return demand;
}

}  // namespace genflow
