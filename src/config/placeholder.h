// Values inside a resolved `with`, `env` or `run` text that are only known while the run goes on.
//
// A placeholder is text inside a JSON string, in one of two exact forms:
//   ${{ stages.S.outputs.P }}    the path of an artifact, known once stage S is done
//   ${{ secrets.X#0123456789abcdef }}   a secret, with the salted digest of its value
// No other "${{" survives loading: literals, parameters and environment values that hold one are
// refused. So a resolved specification can be printed and hashed as it stands, and nobody can forge a
// placeholder.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow {

struct Placeholder {
  enum class Kind { kOutput, kSecret };
  Kind kind = Kind::kOutput;
  std::string stage, port;   // kOutput
  std::string name, digest;  // kSecret

  std::string ToText() const;
  bool operator==(const Placeholder&) const = default;
};

bool HasPlaceholder(std::string_view text);
// How often "${{" occurs.
size_t CountPlaceholders(std::string_view text);
// Every placeholder in the strings of `value` (object keys hold none), in order, repeats included.
std::vector<Placeholder> FindPlaceholders(const nlohmann::json& value);

using PlaceholderLookup = std::function<Result<std::string>(const Placeholder&)>;
// Copies with every placeholder replaced by what `lookup` gives. The first error of `lookup` is returned.
Result<std::string> SubstitutePlaceholders(std::string_view text, const PlaceholderLookup& lookup);
Result<nlohmann::json> SubstitutePlaceholders(const nlohmann::json& value, const PlaceholderLookup& lookup);

}  // namespace genflow
