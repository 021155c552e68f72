// Regular expressions (PCRE2 syntax, JIT-compiled), the one adapter to the library.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::text {

struct Match {
  size_t begin = 0, end = 0;  // bytes
};

struct PatternOptions {
  bool ignore_case = false;
  bool literal = false;     // the pattern is the text to find
  bool whole = false;       // only the whole subject is a match, as in Python's re.fullmatch
  bool valid_utf8 = false;  // the caller's word that every subject is valid UTF-8, which saves looking
  bool bounded = true;      // false: a match may backtrack as long as it takes
};

// Immutable and thread-safe; cheap to copy.
class Pattern {
 public:
  // kInvalid with PCRE2's message, the column, the pattern and a caret.
  static Result<Pattern> Compile(std::string_view pattern, PatternOptions options = {});

  const std::string& text() const;

  // The leftmost match at or after byte `from`, where a character starts. Invalid UTF-8 in `subject` never
  // matches. kExhausted when the pattern backtracks more than a bound allows.
  Result<std::optional<Match>> Find(std::string_view subject, size_t from = 0) const;

 private:
  struct Impl;
  explicit Pattern(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace genflow::text
