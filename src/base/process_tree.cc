#include "base/process_tree.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <functional>
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

bool IsMarked(pid_t pid, const std::string& variable) {
  const auto environment = ReadFile("/proc/" + std::to_string(pid) + "/environ", kEnvironment);
  const std::string needle = variable + '\0';
  return environment.ok() &&
         (environment->starts_with(needle) || environment->find('\0' + needle) != std::string::npos);
}

void KillMarked(const std::string& variable) {
  ForEachNumber("/proc", [&](pid_t pid) {
    if (pid == ::getpid()) return;
    const auto name = ReadFile("/proc/" + std::to_string(pid) + "/comm", kSmallFile);
    if (!name.ok() || Trim(*name) == kGuardianName) return;
    if (IsMarked(pid, variable)) ::kill(pid, SIGKILL);
  });
}

}  // namespace genflow
