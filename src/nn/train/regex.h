// Regular expressions as Python's `re` understands them for module names, by PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::nn::train {

class Regex {
 public:
  // kInvalid with the engine's reason when the pattern is malformed.
  static Result<Regex> Compile(const std::string& pattern);

  // re.fullmatch: the whole of `text` matches.
  bool FullMatch(std::string_view text) const;

 private:
  explicit Regex(std::shared_ptr<void> code) : code_(std::move(code)) {}
  std::shared_ptr<void> code_;
};

}  // namespace genflow::nn::train
