// Copies of files out of the store, whose own are read-only.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace genflow::stages {

// Copies the bytes of `from` into the new file `to`, which its owner may write. Shares the blocks where the
// file system can. Synced by whoever commits the artifact that it is in.
Status CopyFile(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace genflow::stages
