// What a process and its descendants use, as /proc tells.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

namespace genflow {

// How long processes that were killed are waited for.
inline constexpr std::chrono::seconds kKillPatience{2};

// Bytes of memory that belong to the process and its descendants alone: anonymous and shared memory, and not
// the pages of mapped files, which the kernel can drop. Memory that a fork still shares with its parent
// counts for both. A process that ends meanwhile counts 0.
uint64_t MemoryOfTree(pid_t pid);

// Whether a process of the group, its leader included, has not ended. A zombie has.
bool GroupIsAlive(pid_t group);

// Whether the environment of a process holds a variable.
enum class Mark {
  kAbsent,  // or nobody may know, or the process has ended
  kPresent,
  kStarting,  // the process is starting a program: its environment is not in place yet
  kEnding,    // the process is on its way to its end and holds its environment no more
};
// `variable`: "NAME=value".
Mark MarkOf(pid_t pid, const std::string& variable);
bool IsMarked(pid_t pid, const std::string& variable);  // MarkOf is kPresent

// Whether the process is a guardian (base/subprocess.h).
bool IsGuardian(pid_t pid);

// Kills (SIGKILL) every process whose environment holds `variable` ("NAME=value"), except this one and
// guardians (which then kill what they guard, and end), until there are none, or for two seconds.
void KillMarked(const std::string& variable);

}  // namespace genflow
