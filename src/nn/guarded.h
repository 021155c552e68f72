// The border between libtorch, which throws, and our code, which does not.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "base/result.h"

namespace genflow::nn {

// The error for an exception out of libtorch: kExhausted for lack of memory, else kInternal. `what` is
// the work that failed, as in "training step".
Error TorchError(const std::string& what, const std::exception& exception);

// Runs `work`, which returns a Result, and turns exceptions into its error.
template <class Work>
std::invoke_result_t<Work> Guarded(const std::string& what, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::exception& exception) {
    return TorchError(what, exception);
  }
}

}  // namespace genflow::nn
