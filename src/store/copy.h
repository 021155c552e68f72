// Copies of files and trees that share blocks where the file system can.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace genflow {

// Copies a regular file: reflink, else in the kernel, else by reading. `to` must not exist; it is writable
// and keeps the executable bit. Not synced.
Status CloneFile(const std::filesystem::path& from, const std::filesystem::path& to);

// Replaces a file that has more than one hard link by a copy of its own.
Status MakeUnshared(const std::filesystem::path& path);

// Copies a file or tree; `link`: regular files become hard links instead. `to` must not exist.
Status CopyTree(const std::filesystem::path& from, const std::filesystem::path& to, bool link);

}  // namespace genflow
