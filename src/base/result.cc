#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace genflow {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kInvalid:
      return "invalid";
    case Code::kNotFound:
      return "not-found";
    case Code::kIo:
      return "io";
    case Code::kCorrupt:
      return "corrupt";
    case Code::kExhausted:
      return "exhausted";
    case Code::kBusy:
      return "busy";
    case Code::kInterrupted:
      return "interrupted";
    case Code::kGate:
      return "gate";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

std::string Error::ToString() const { return hint.empty() ? message : message + "\n  hint: " + hint; }

Error ErrnoError(const std::string& what, int err) {
  Code code = Code::kIo;
  if (err == ENOSPC || err == EDQUOT || err == ENOMEM || err == EMFILE || err == ENFILE)
    code = Code::kExhausted;
  if (err == ENOENT) code = Code::kNotFound;
  return MakeError(code, what + ": " + std::strerror(err));
}

}  // namespace genflow
