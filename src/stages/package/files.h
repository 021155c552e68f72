// Files of a package.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::stages {

// Copies the regular files of a tree, bytes alone, synced with the rest of the package by whoever commits it.
Status CopyTree(const std::filesystem::path& from, const std::filesystem::path& to);

// LICENSE*, NOTICE* and COPYING* beside a model, copied to `to`; the names copied, sorted.
Result<std::vector<std::string>> CopyLicenses(const std::filesystem::path& from,
                                              const std::filesystem::path& to);

// Writes SHA256SUMS over every other file below `folder`, sorted by path, as sha256sum reads it.
Status WriteChecksums(const std::filesystem::path& folder);

}  // namespace genflow::stages
