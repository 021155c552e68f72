// Result<T> inside a stage: an error becomes the stage's reason, and kInterrupted its outcome.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "genflow/plugin.hpp"

namespace genflow::stages {

inline gf_error ErrorCode(Code code) {
  switch (code) {
    case Code::kIo:
    case Code::kBusy:
      return GF_ERROR_IO;
    case Code::kExhausted:
      return GF_ERROR_EXHAUSTED;
    case Code::kUnsupported:
      return GF_ERROR_UNSUPPORTED;
    case Code::kInternal:
      return GF_ERROR_INTERNAL;
    default:
      return GF_ERROR_INVALID;
  }
}

// Ends the stage as stopped on request; caught by Interruptible().
struct Interrupted {};

[[noreturn]] inline void Throw(const Error& error) {
  if (error.code == Code::kInterrupted) throw Interrupted{};
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

// Body of a stage's Run that may call ValueOf() on what can be interrupted.
template <class Body>
Outcome Interruptible(const Body& body) {
  try {
    return body();
  } catch (const Interrupted&) {
    return Outcome::kInterrupted;
  }
}

// What Check() returns for an error: the first line of its message and, where there is one, its hint on a
// line of its own; "" without an error.
inline std::string CheckText(const Status& status) {
  if (status.ok()) return "";
  const Error& error = status.error();
  const std::string line = error.message.substr(0, error.message.find('\n'));
  return error.hint.empty() ? line : line + "\nhint: " + error.hint;
}

// "quality" of "quality.report"; "" when the source has no dot.
inline std::string StageOfSource(const std::string& source) {
  const size_t dot = source.rfind('.');
  return dot == std::string::npos ? "" : source.substr(0, dot);
}

}  // namespace genflow::stages
