// The files of configs/hardware, as they were when the program was built.
#pragma once

#include <span>
#include <string_view>

namespace genflow::sizing {

struct BuiltinFile {
  std::string_view name, text;
};
std::span<const BuiltinFile> BuiltinFiles();

}  // namespace genflow::sizing
