// Result<T> inside a stage: an error becomes the stage's reason.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "genflow/plugin.hpp"

namespace genflow::stages {

inline gf_error ErrorCode(Code code) {
  switch (code) {
    case Code::kIo:
    case Code::kBusy: return GF_ERROR_IO;
    case Code::kExhausted: return GF_ERROR_EXHAUSTED;
    case Code::kUnsupported: return GF_ERROR_UNSUPPORTED;
    case Code::kInternal: return GF_ERROR_INTERNAL;
    default: return GF_ERROR_INVALID;
  }
}

[[noreturn]] inline void Throw(const Error& error) {
  throw StageError(ErrorCode(error.code), error.message, error.hint);
}

// The value, or the end of the stage.
template <class T>
T ValueOf(Result<T> result) {
  if (!result.ok()) Throw(result.error());
  return std::move(result).value();
}
inline void Require(const Status& status) {
  if (!status.ok()) Throw(status.error());
}

// "quality" of "quality.report"; "" when the source has no dot.
inline std::string StageOfSource(const std::string& source) {
  const size_t dot = source.rfind('.');
  return dot == std::string::npos ? "" : source.substr(0, dot);
}

}  // namespace genflow::stages
