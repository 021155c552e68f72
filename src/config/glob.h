// File name patterns: * ? [a-z] [!a-z] within one name, ** across folders, {a,b} alternatives.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow {

// True when the text has a character that is special in patterns.
bool HasGlob(std::string_view pattern);

// Whether a path matches. `**` stands for any number of folders, none included. Names that start with a
// dot match only patterns whose name starts with a dot.
bool GlobMatch(std::string_view pattern, std::string_view path);

// Regular files (links followed) that match, as paths relative to `base` (absolute for an absolute
// pattern), sorted by byte, each once. A pattern without special characters matches a file of that
// name; a folder matches as the files below it, as if /** were added. Nothing matched: an empty list.
// Malformed patterns and unreadable folders are errors.
Result<std::vector<std::string>> ExpandGlob(const std::filesystem::path& base, std::string_view pattern);

// One of the files of ExpandGlob(), or none; stops at the first that it meets.
Result<std::vector<std::string>> FirstGlobMatch(const std::filesystem::path& base, std::string_view pattern);

}  // namespace genflow
