// The memory that this machine has left.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace genflow::sizing {

struct AvailableMemory {
  uint64_t bytes = 0;
  std::string what;  // what sets the bound: "this machine has left", "its control group allows"
};

// What this process may still take: MemAvailable, less where a control group allows less. `limit` > 0: of the
// stage's resources.
AvailableMemory MemoryLeft(uint64_t limit = 0);

}  // namespace genflow::sizing
