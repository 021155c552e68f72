// The machine, as `genflow doctor` sees it.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <set>

#include "base/files.h"
#include "base/strings.h"
#include "cli/doctor.h"
#include "cli/terminal.h"
#include "cli/times.h"
#include "engine/resources.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kGiB = 1ull << 30;

std::string TextOf(const fs::path& file) {
  const auto text = ReadFile(file, 1 << 20);
  return text.ok() ? *text : std::string();
}

// The value of the first line "NAME<blanks>: VALUE" of a file of the kernel; "" where there is none.
std::string Field(const std::string& text, std::string_view name) {
  for (const auto line : Split(text, '\n')) {
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && Trim(line.substr(0, colon)) == name)
      return std::string(Trim(line.substr(colon + 1)));
  }
  return {};
}

Finding Cpu() {
  const std::string info = TextOf("/proc/cpuinfo");
  const std::string all_flags = Field(info, "flags");
  std::set<std::string> flags;
  for (const auto flag : Split(all_flags, ' ')) flags.emplace(flag);
  static const std::pair<const char*, const char*> kFeatures[] = {
      {"avx2", "AVX2"},    {"avx512f", "AVX-512"},   {"avx512_bf16", "AVX512-BF16"},
      {"amx_tile", "AMX"}, {"amx_bf16", "AMX-BF16"}, {"sha_ni", "SHA"}};
  std::vector<std::string> found;
  for (const auto& [flag, name] : kFeatures) {
    if (flags.count(flag) != 0) found.emplace_back(name);
  }
  const int64_t online = ::sysconf(_SC_NPROCESSORS_ONLN), usable = DetectPools().cpus;
  std::string model = Field(info, "model name");
  Finding out{"cpu", Health::kOk, model.empty() ? "unknown processor" : model, "", {}};
  out.text += "; " + Counted(usable, "core");
  if (usable < online) out.text += " of " + std::to_string(online) + " (affinity or cgroup limit)";
  out.text += found.empty() ? "; no vector extensions" : "; " + Join(found, ", ");
  out.facts = {{"model", model}, {"cores", usable}, {"online", online}, {"features", found}};
  if (flags.count("avx2") == 0 && !flags.empty()) {
    out.health = Health::kWarn;
    out.hint = "without AVX2 the model's stages are several times slower";
  }
  return out;
}

Finding Memory() {
  const uint64_t limit = DetectPools().memory;
  const auto free =
      ParseBytes(std::string(Split(Field(TextOf("/proc/meminfo"), "MemAvailable"), ' ')[0]) + "K");
  const auto total =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
  Finding out{
      "memory", Health::kOk, HumanBytes(limit), "", {{"limit_bytes", limit}, {"machine_bytes", total}}};
  if (limit < total) out.text += " of the machine's " + HumanBytes(total) + " (cgroup limit)";
  if (!free) return out;
  const uint64_t available = std::min(*free, limit);
  out.text += ", " + HumanBytes(available) + " available";
  out.facts["available_bytes"] = available;
  if (available < 2 * kGiB) {
    out.health = Health::kWarn;
    out.hint =
        "tuning a model of 135M parameters takes about 4 GiB: stop something else, or use small batches";
  }
  return out;
}

Finding Gpus() {
  const auto gpus = DetectPools().gpus;
  Finding out{"gpu", Health::kOk, "none: stages compute on the CPU", "", {{"gpus", nlohmann::json::array()}}};
  if (gpus.empty()) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    std::error_code ec;
    if (visible != nullptr && fs::exists("/dev/nvidia0", ec))
      out.text = "none: CUDA_VISIBLE_DEVICES=" + std::string(visible) + " hides those that there are";
    return out;
  }
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it("/proc/driver/nvidia/gpus", ec), end; !ec && it != end; it.increment(ec)) {
    const std::string model = Field(TextOf(it->path() / "information"), "Model");
    if (!model.empty()) names.push_back(model);
  }
  std::sort(names.begin(), names.end());
  out.facts = {{"gpus", gpus}, {"models", names}};
  out.text = Counted(gpus.size(), "GPU");
  if (!names.empty()) out.text += ": " + Join(names, ", ");
  const fs::path cuda =
      ExecutablePath().parent_path().parent_path() / "lib/genflow/libraries/torch/torch/lib/libtorch_cuda.so";
  out.facts["cuda_libraries"] = fs::exists(cuda, ec);
  if (!fs::exists("/proc/driver/nvidia/version", ec)) {
    out.health = Health::kWarn;
    out.hint = "/dev has it, the kernel has no NVIDIA driver loaded: nvidia-smi says more";
  } else if (!fs::exists(cuda, ec)) {
    out.health = Health::kWarn;
    out.text += "; this installation has no CUDA libraries";
    out.hint = "configure the build again where the driver is: `make` fetches them";
  }
  return out;
}

Finding OpenFiles() {
  struct rlimit limit {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const bool none = limit.rlim_cur == RLIM_INFINITY;
  Finding out{"limits",
              Health::kOk,
              none ? "any number of open files"
                   : WithCommas(static_cast<int64_t>(limit.rlim_cur)) + " open files a process",
              "",
              {{"open_files", none ? nlohmann::json() : nlohmann::json(limit.rlim_cur)}}};
  if (!none && limit.rlim_cur < 256) {
    out.health = Health::kWarn;
    out.hint = "`ulimit -n 1024` before genflow; each running stage takes a few";
  }
  return out;
}

Finding Clock() {
  const time_t now = ::time(nullptr);
  struct tm local {};
  char zone[32] = "";
  if (::localtime_r(&now, &local) != nullptr) std::strftime(zone, sizeof zone, " %Z", &local);
  struct timex state {};
  const bool synchronised = ::adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
  Finding out{"clock",
              Health::kOk,
              LocalTime(static_cast<double>(now)) + zone,
              "",
              {{"now", now}, {"synchronised", synchronised}}};
  out.text += synchronised ? ", synchronised" : ", not known to be synchronised";
  struct stat self {};
  if (::stat(ExecutablePath().c_str(), &self) == 0 && now < self.st_mtim.tv_sec - 86400) {
    out.health = Health::kWarn;
    out.text += "; that is before genflow was installed (" +
                LocalTime(static_cast<double>(self.st_mtim.tv_sec)) + ")";
    out.hint = "set the clock: runs are named by it, and schedules go by it";
  }
  return out;
}

Finding Terminal() {
  const TerminalTraits traits = DetectTerminal(STDERR_FILENO);
  const char* term = std::getenv("TERM");
  const TerminalSize size = SizeOfTerminal(STDERR_FILENO);
  Finding out{"terminal", Health::kOk, "", "", {}};
  out.facts = {{"interactive", traits.interactive},
               {"color", traits.color},
               {"unicode", traits.unicode},
               {"term", term != nullptr ? term : ""}};
  if (traits.interactive) {
    out.facts["columns"] = size.columns;
    out.facts["rows"] = size.rows;
    out.text = std::string(term) + ", " + std::to_string(size.columns) + " x " + std::to_string(size.rows) +
               (traits.color ? ", colours" : ", no colours (NO_COLOR)");
  } else {
    out.text = ::isatty(STDERR_FILENO) == 1 ? "one that cannot be redrawn: progress is plain lines"
                                            : "standard error is none: progress is plain lines";
  }
  out.text += traits.unicode ? ", UTF-8" : ", no UTF-8";
  if (!traits.unicode) {
    out.health = Health::kWarn;
    out.hint = "`export LANG=C.UTF-8` shows names and marks as they are";
  } else if (traits.interactive && size.columns < 60) {
    out.health = Health::kWarn;
    out.hint = "from 80 columns on, tables fit";
  }
  return out;
}

Finding Programs() {
  const char* path = std::getenv("PATH");
  std::string bash;
  for (const auto folder : Split(path != nullptr ? path : "", ':')) {
    const fs::path file = fs::path(folder) / "bash";
    if (bash.empty() && ::access(file.c_str(), X_OK) == 0) bash = file.string();
  }
  Finding out{"programs", Health::kOk, "bash is " + bash, "", {{"bash", bash}}};
  if (bash.empty()) {
    out.health = Health::kFail;
    out.text = "there is no bash in PATH";
    out.hint = "`exec` stages need it: install bash";
  }
  return out;
}

}  // namespace

Findings CheckMachine() { return {Cpu(), Memory(), Gpus(), OpenFiles(), Programs(), Clock(), Terminal()}; }

}  // namespace genflow::cli
