#include "base/cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <vector>

#include "base/strings.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr char kMount[] = "/sys/fs/cgroup";
constexpr long kCgroup2Magic = 0x63677270;
constexpr uint64_t kSmallFile = 1 << 20;
constexpr std::string_view kPrefix =
    "genflow-";  // of the groups made here: genflow-<pid>, genflow-<pid>-<number>

// The folder of this process's group.
std::optional<fs::path> OwnGroup() {
  struct statfs mount {};
  if (::statfs(kMount, &mount) != 0 || mount.f_type != kCgroup2Magic) return std::nullopt;
  const auto text = ReadFile("/proc/self/cgroup", kSmallFile);
  if (!text.ok()) return std::nullopt;
  for (const std::string_view line : Split(*text, '\n')) {
    constexpr std::string_view kUnified = "0::/";
    if (!line.starts_with(kUnified)) continue;
    const std::string_view path = line.substr(kUnified.size());
    // Outside of what this namespace shows.
    if (path.starts_with("..")) return std::nullopt;
    return path.empty() ? fs::path(kMount) : fs::path(kMount) / path;
  }
  return std::nullopt;
}

bool WriteKernelFile(const fs::path& path, std::string_view text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.valid() && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool HasWord(const fs::path& file, std::string_view word) {
  const auto text = ReadFile(file, kSmallFile);
  if (!text.ok()) return false;
  for (const std::string_view one : Split(Trim(*text), ' ')) {
    if (one == word) return true;
  }
  return false;
}

std::vector<pid_t> ProcessesOf(const fs::path& group) {
  std::vector<pid_t> out;
  const auto text = ReadFile(group / "cgroup.procs", kSmallFile);
  if (!text.ok()) return out;
  for (const std::string_view line : Split(*text, '\n')) {
    pid_t pid = 0;
    std::from_chars(line.data(), line.data() + line.size(), pid);
    if (pid > 0) out.push_back(pid);
  }
  return out;
}

void MoveAll(const fs::path& from, const fs::path& to) {
  for (const pid_t pid : ProcessesOf(from)) WriteKernelFile(to / "cgroup.procs", std::to_string(pid));
}

std::string NameOf(pid_t pid) { return std::string(kPrefix) + std::to_string(pid); }

// Removes the empty groups of those that were killed before they could.
void RemoveStale(const fs::path& home) {
  std::error_code ec;
  std::vector<fs::path> stale;
  for (fs::directory_iterator it(home, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    pid_t owner = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), owner);
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH) stale.push_back(it->path());
  }
  for (const auto& group : stale) ::rmdir(group.c_str());
}

}  // namespace

std::vector<std::string> CgroupLines(const std::string& file) {
  std::vector<std::string> out;
  auto group = OwnGroup();
  if (!group) return out;
  for (;; group = group->parent_path()) {
    if (const auto text = ReadFile(*group / file, kSmallFile); text.ok())
      out.emplace_back(Split(*text, '\n').front());
    if (*group == kMount || !group->has_relative_path()) return out;
  }
}

MemoryGroup::~MemoryGroup() {
  if (folder_.empty()) return;
  entry_.Reset();
  // Kernels before 5.14 have no cgroup.kill.
  if (!WriteKernelFile(folder_ / "cgroup.kill", "1")) {
    for (const pid_t pid : ProcessesOf(folder_)) ::kill(pid, SIGKILL);
  }
  constexpr int kTries = 20;
  constexpr useconds_t kPause = 1000;
  for (int i = 0; i < kTries && ::rmdir(folder_.c_str()) != 0 && errno == EBUSY; ++i) ::usleep(kPause);
}

bool MemoryGroup::RanOut() const {
  const auto events = ReadFile(folder_ / "memory.events", kSmallFile);
  if (!events.ok()) return false;
  for (const std::string_view line : Split(*events, '\n')) {
    constexpr std::string_view kKills = "oom_kill ";
    if (line.starts_with(kKills)) return line.substr(kKills.size()) != "0";
  }
  return false;
}

std::optional<MemoryGroups> MemoryGroups::Open(const std::function<bool(pid_t)>& ours) {
  const auto home = OwnGroup();
  if (!home || !HasWord(*home / "cgroup.controllers", "memory")) return std::nullopt;
  if (::access((*home / "cgroup.subtree_control").c_str(), W_OK) != 0) return std::nullopt;
  const auto enable = [&] { return WriteKernelFile(*home / "cgroup.subtree_control", "+memory"); };
  if (enable()) {  // the root
    RemoveStale(*home);
    return MemoryGroups(*home, false);
  }
  for (const pid_t pid : ProcessesOf(*home)) {
    if (pid != ::getpid() && !ours(pid)) return std::nullopt;
  }
  const fs::path below = *home / NameOf(::getpid());
  if (::mkdir(below.c_str(), 0755) != 0) return std::nullopt;
  // Those that were started meanwhile are found the second time.
  for (int i = 0; i < 2; ++i) MoveAll(*home, below);
  if (enable()) {
    RemoveStale(*home);
    return MemoryGroups(*home, true);
  }
  MoveAll(below, *home);
  ::rmdir(below.c_str());
  return std::nullopt;
}

MemoryGroups::MemoryGroups(MemoryGroups&& other) noexcept
    : home_(std::exchange(other.home_, {})), moved_(other.moved_), made_(other.made_) {}

MemoryGroups::~MemoryGroups() {
  if (home_.empty() || !moved_) return;
  const fs::path below = home_ / NameOf(::getpid());
  WriteKernelFile(home_ / "cgroup.subtree_control", "-memory");
  MoveAll(below, home_);
  ::rmdir(below.c_str());
}

Result<MemoryGroup> MemoryGroups::Make(uint64_t limit) {
  const fs::path folder = home_ / (NameOf(::getpid()) + "-" + std::to_string(++made_));
  if (::mkdir(folder.c_str(), 0755) != 0) return ErrnoError("cannot make '" + folder.string() + "'", errno);
  MemoryGroup group(folder, Fd(::open((folder / "cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC)));
  if (group.entry() < 0 || !WriteKernelFile(folder / "memory.max", std::to_string(limit)))
    return ErrnoError("cannot limit the memory of '" + folder.string() + "'", errno);
  WriteKernelFile(folder / "memory.swap.max", "0");   // where the kernel counts swap
  WriteKernelFile(folder / "memory.oom.group", "1");  // since 4.19
  return group;
}

}  // namespace genflow
