#include "base/process_tree.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <functional>
#include <optional>
#include <set>
#include <string_view>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"

namespace genflow {

namespace {

constexpr uint64_t kSmallFile = 1 << 20;
constexpr uint64_t kEnvironment = 16 << 20;

template <class T>
T NumberAtStart(std::string_view text) {
  T value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Calls `each` with every number among the names in a folder of /proc.
void ForEachNumber(const std::string& folder, const std::function<void(pid_t)>& each) {
  DIR* list = ::opendir(folder.c_str());
  if (list == nullptr) return;
  while (const dirent* entry = ::readdir(list)) {
    if (const auto number = NumberAtStart<pid_t>(entry->d_name); number > 0) each(number);
  }
  ::closedir(list);
}

// Of /proc/<pid>/stat, as proc(5) describes it.
struct Stat {
  char state = 0;  // 'Z': a zombie
  pid_t group = 0;
  uint32_t flags = 0;
  uint64_t environment_end = 0;  // an address; 0: there is none yet, or no more
};

std::optional<Stat> StatOf(pid_t pid) {
  const auto text = ReadFile("/proc/" + std::to_string(pid) + "/stat", kSmallFile);
  if (!text.ok()) return std::nullopt;
  // The program's name, in parentheses, may hold anything.
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text->size()) return std::nullopt;
  const auto fields = Split(std::string_view(*text).substr(name_end + 2), ' ');
  constexpr size_t kState = 0, kGroup = 2, kFlags = 6, kEnvironmentEnd = 48;
  if (fields.size() <= kEnvironmentEnd || fields[kState].empty()) return std::nullopt;
  return Stat{fields[kState][0], NumberAtStart<pid_t>(fields[kGroup]),
              NumberAtStart<uint32_t>(fields[kFlags]), NumberAtStart<uint64_t>(fields[kEnvironmentEnd])};
}

bool HasEnded(const Stat& stat) { return stat.state == 'Z' || stat.state == 'X'; }

uint64_t MemoryOf(pid_t pid) {
  const auto status = ReadFile("/proc/" + std::to_string(pid) + "/status", kSmallFile);
  if (!status.ok()) return 0;
  uint64_t kilobytes = 0;
  for (const std::string_view line : Split(*status, '\n')) {
    for (const std::string_view name : {"RssAnon:", "RssShmem:"}) {
      if (line.starts_with(name)) kilobytes += NumberAtStart<uint64_t>(Trim(line.substr(name.size())));
    }
  }
  return kilobytes * 1024;
}

void AddTree(pid_t pid, std::set<pid_t>* seen) {
  if (!seen->insert(pid).second) return;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  ForEachNumber(tasks, [&](pid_t thread) {
    const auto children = ReadFile(tasks + "/" + std::to_string(thread) + "/children", kSmallFile);
    if (!children.ok()) return;
    for (const std::string_view child : Split(*children, ' ')) {
      if (const auto number = NumberAtStart<pid_t>(child); number > 0) AddTree(number, seen);
    }
  });
}

}  // namespace

uint64_t MemoryOfTree(pid_t pid) {
  std::set<pid_t> all;
  AddTree(pid, &all);
  uint64_t bytes = 0;
  for (const pid_t one : all) bytes += MemoryOf(one);
  return bytes;
}

bool GroupIsAlive(pid_t group) {
  bool alive = false;
  ForEachNumber("/proc", [&](pid_t pid) {
    if (alive) return;
    const auto stat = StatOf(pid);
    alive = stat && stat->group == group && !HasEnded(*stat);
  });
  return alive;
}

Mark MarkOf(pid_t pid, const std::string& variable) {
  const auto environment = ReadFile("/proc/" + std::to_string(pid) + "/environ", kEnvironment);
  if (environment.ok() && !environment->empty()) {
    const std::string needle = variable + '\0';
    const bool found =
        environment->starts_with(needle) || environment->find('\0' + needle) != std::string::npos;
    return found ? Mark::kPresent : Mark::kAbsent;
  }
  // Read after the environment: one that was not ending now was not ending then.
  const auto stat = StatOf(pid);
  // PF_EXITING and PF_KTHREAD of the kernel's include/linux/sched.h
  constexpr uint32_t kExiting = 0x4, kKernelThread = 0x200000;
  if (!stat || HasEnded(*stat) || (stat->flags & kKernelThread) != 0) return Mark::kAbsent;
  if ((stat->flags & kExiting) != 0) return Mark::kEnding;
  return environment.ok() && stat->environment_end == 0 ? Mark::kStarting : Mark::kAbsent;
}

bool IsMarked(pid_t pid, const std::string& variable) { return MarkOf(pid, variable) == Mark::kPresent; }

bool IsGuardian(pid_t pid) {
  const auto name = ReadFile("/proc/" + std::to_string(pid) + "/comm", kSmallFile);
  return name.ok() && Trim(*name) == kGuardianName;
}

void KillMarked(const std::string& variable) {
  using std::chrono::steady_clock;
  constexpr useconds_t kPause = 1000;
  const auto until = steady_clock::now() + kKillPatience;
  for (bool left = true; left && steady_clock::now() < until;) {
    left = false;
    ForEachNumber("/proc", [&](pid_t pid) {
      if (pid == ::getpid()) return;
      const Mark mark = MarkOf(pid, variable);
      left |= mark == Mark::kStarting;
      if (mark == Mark::kPresent && !IsGuardian(pid)) left |= ::kill(pid, SIGKILL) == 0;
    });
    if (left) ::usleep(kPause);
  }
}

}  // namespace genflow
