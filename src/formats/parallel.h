// Work on tensors, spread over the cores.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"

namespace genflow::formats {

// Calls `work` with each number below `count`, on up to `threads` threads (0: one a core), whichever is free.
// After an error no more is begun, and the first error is returned; memory that runs out is kExhausted.
Status InParallel(size_t count, int threads, const std::function<Status(size_t)>& work);

}  // namespace genflow::formats
