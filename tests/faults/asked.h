// What a storm was asked to do: PROGRAM [--count N] [--seed S]. main() is in asked.cc.
#pragma once

#include <optional>

namespace genflow {

struct Asked {
  std::optional<int> count;
  unsigned seed = 1;
};
// From the command line, once main() has begun.
const Asked& WasAsked();

}  // namespace genflow
