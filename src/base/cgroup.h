// Control groups, version 2: the one this process is in, and groups of its own whose memory the kernel
// limits. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace genflow {

// The first line of `file` ("memory.max", "cpu.max") in this process's group and in each one above it that
// can be seen, nearest first; empty where there is no hierarchy of version 2.
std::vector<std::string> CgroupLines(const std::string& file);

// One group. Ends what is still in it, and removes it, when it goes.
class MemoryGroup {
 public:
  MemoryGroup(std::filesystem::path folder, Fd entry)
      : folder_(std::move(folder)), entry_(std::move(entry)) {}
  MemoryGroup(MemoryGroup&& other) noexcept
      : folder_(std::exchange(other.folder_, {})), entry_(std::move(other.entry_)) {}
  MemoryGroup& operator=(MemoryGroup&& other) noexcept {
    std::swap(folder_, other.folder_);
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~MemoryGroup();

  // A process that writes "0" here is moved into the group.
  int entry() const { return entry_.get(); }
  // Whether the kernel has killed processes of the group because they wanted more than its limit.
  bool RanOut() const;

 private:
  std::filesystem::path folder_;  // empty: moved away
  Fd entry_;
};

// Makes groups beside this process in the group it was started in. Where other processes live there, none can
// be made (a group has processes or limits on its children, not both), so this needs a group of its own: a
// service or scope of systemd with Delegate=memory, or the root of the hierarchy. While it exists this
// process is in a group below.
class MemoryGroups {
 public:
  // Nothing where no hierarchy of version 2 holds the memory controller, or this process may not use it.
  // `ours` tells the processes, beside this one, that may be moved.
  static std::optional<MemoryGroups> Open(const std::function<bool(pid_t)>& ours);
  MemoryGroups(MemoryGroups&& other) noexcept;
  MemoryGroups& operator=(MemoryGroups&&) = delete;
  // Every MemoryGroup must be gone. Moves the processes back.
  ~MemoryGroups();

  // A group whose processes may hold `limit` bytes together, with no swap beside; when they want more, and
  // the kernel finds nothing to drop, all of them are killed.
  Result<MemoryGroup> Make(uint64_t limit);

 private:
  MemoryGroups(std::filesystem::path home, bool moved) : home_(std::move(home)), moved_(moved) {}

  std::filesystem::path home_;  // empty: moved away
  bool moved_ = false;          // this process was, from `home_` to a group below
  int made_ = 0;
};

}  // namespace genflow
