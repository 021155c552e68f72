// What a process and its descendants use, as /proc tells.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace genflow {

// Bytes of memory that belong to the process and its descendants alone: anonymous and shared memory, and not
// the pages of mapped files, which the kernel can drop. Memory that a fork still shares with its parent
// counts for both. A process that ends meanwhile counts 0.
uint64_t MemoryOfTree(pid_t pid);

// Whether the environment of a process holds `variable` ("NAME=value"); false when it cannot be read.
bool IsMarked(pid_t pid, const std::string& variable);

// Kills (SIGKILL) every process whose environment holds `variable` ("NAME=value"), except this one and
// guardians (which then kill what they guard, and end).
void KillMarked(const std::string& variable);

}  // namespace genflow
