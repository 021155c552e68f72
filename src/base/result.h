// Errors as values. Our own code returns Result<T> or Status; exceptions of third-party libraries are
// caught in the one file that adapts them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace genflow {

// What went wrong, by what the caller can do about it.
enum class Code {
  kInvalid,      // the caller's input or usage is wrong
  kNotFound,     // a named thing does not exist
  kIo,           // the file system or network failed (disk full, permission, EIO)
  kCorrupt,      // stored bytes are not what they must be
  kExhausted,    // memory, disk quota or a pool is used up
  kBusy,         // someone else holds a lock
  kInterrupted,  // asked to stop; what was done is resumable
  kGate,         // a quality gate said no
  kUnsupported,  // valid, but not in this build or on this machine
  kInternal,     // our bug
};

// Lower-case word of a code, as written in JSON output: "invalid", "not-found", ...
const char* CodeName(Code code);

struct Error {
  Code code = Code::kInternal;
  std::string message;  // one sentence, no trailing period, names the thing at fault
  std::string hint;     // what to do about it; may be empty

  // "message\n  hint: ..." without a trailing newline.
  std::string ToString() const;
};

inline Error MakeError(Code code, std::string message, std::string hint = {}) {
  return Error{code, std::move(message), std::move(hint)};
}
inline Error InvalidError(std::string message, std::string hint = {}) {
  return Error{Code::kInvalid, std::move(message), std::move(hint)};
}
// kIo from errno: "WHAT: No space left on device". ENOSPC and EDQUOT become kExhausted, ENOENT kNotFound.
Error ErrnoError(const std::string& what, int err);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error)
      : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return v_.index() == 0; }
  explicit operator bool() const { return ok(); }
  // The value; the caller has checked ok().
  T& value() & { return std::get<0>(v_); }
  const T& value() const& { return std::get<0>(v_); }
  T&& value() && { return std::get<0>(std::move(v_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  // The error; the caller has checked !ok().
  const Error& error() const& { return std::get<1>(v_); }
  Error&& error() && { return std::get<1>(std::move(v_)); }

 private:
  std::variant<T, Error> v_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return *std::move(error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;
inline Status Ok() { return {}; }

#define GF_CONCAT_INNER(a, b) a##b
#define GF_CONCAT(a, b) GF_CONCAT_INNER(a, b)
// GF_TRY(auto x, Compute()): x is the value, or the enclosing function returns the error.
#define GF_TRY(decl, ...) GF_TRY_INNER(GF_CONCAT(gf_try_, __LINE__), decl, __VA_ARGS__)
#define GF_TRY_INNER(tmp, decl, ...)            \
  auto tmp = (__VA_ARGS__);                     \
  if (!tmp.ok()) return std::move(tmp).error(); \
  decl = std::move(tmp).value()
// GF_CHECK_OK(DoIt()): the enclosing function returns the error, if any.
#define GF_CHECK_OK(...)                                                                      \
  do {                                                                                        \
    if (auto gf_status = (__VA_ARGS__); !gf_status.ok()) return std::move(gf_status).error(); \
  } while (false)

}  // namespace genflow
