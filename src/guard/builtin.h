// The files of configs/guard, embedded by the build. Internal to src/guard.
#pragma once

#include <span>
#include <string_view>

namespace genflow::guard {

struct BuiltinFile {
  std::string_view name;  // "prompt_injection.json", "words/toxicity.txt"
  std::string_view text;
};

// Sorted by name.
std::span<const BuiltinFile> BuiltinFiles();

}  // namespace genflow::guard
