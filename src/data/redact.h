// Personal data and secrets replaced by what they are: "mail me at [EMAIL]".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/pattern.h"

namespace genflow::data {

class Redactor {
 public:
  // Kinds: "email", "phone", "ip", "key". kInvalid, with a suggestion, for another one.
  static Result<Redactor> Create(const std::vector<std::string>& kinds);

  // Replaces what it finds in `text`; counts by kind are added to `counts`.
  Status Apply(std::string* text, std::map<std::string, uint64_t>* counts) const;

 private:
  struct Rule {
    std::string kind;
    std::string replacement;
    std::string needs;  // characters of which a match has at least one, to pass over most texts
    text::Pattern pattern;
  };
  // Whether anything was replaced.
  Result<bool> ApplyOnce(std::string* text, std::map<std::string, uint64_t>* counts) const;

  std::vector<Rule> rules_;
};

}  // namespace genflow::data
