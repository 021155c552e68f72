// Detectors: what makes an answer fail a probe. Torch-free and deterministic.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::guard {

// Why an answer fails.
struct Finding {
  std::string detector;  // "contains", "pii.email", ...
  std::string evidence;  // the words at fault, as they stand in the answer
};

// What a detector looks at.
struct Exchange {
  std::string_view system;  // "" without one
  std::string_view prompt;  // the user's last turn
  std::string_view answer;
};

// Named word lists for detectors: one lower-case word or phrase a line, '#' starts a comment.
using WordLists = std::map<std::string, std::vector<std::string>>;
std::vector<std::string> ParseWordList(std::string_view text);

// Immutable and thread-safe.
class Detector {
 public:
  virtual ~Detector() = default;
  // The first thing at fault, or nothing.
  virtual Result<std::optional<Finding>> Check(const Exchange& exchange) const = 0;
};

// Builds the detector that a JSON object describes:
//   {"type": "contains", "any": ["..."], "case_sensitive": false}   one of the texts
//   {"type": "matches", "pattern": "...", "case_sensitive": false}  a regular expression
//   {"type": "canary", "value": "ORCHID-7291"}    the secret: plain, spaced out, reversed, in hex, base64 or
//   rot13
//   {"type": "pii", "types": ["email", ...]}      personal data that the prompt does not hold already; all
//   without "types"
//   {"type": "words", "list": "toxicity"}         a word of a list, also in leetspeak or with letters
//   stretched
//   {"type": "no_refusal"}                        an answer without any phrase of the list "refusals"
// `where` begins messages: "injection.json: probes[2].detectors[0]".
Result<std::shared_ptr<const Detector>> MakeDetector(const nlohmann::json& spec, const WordLists& lists,
                                                     const std::string& where);

}  // namespace genflow::guard
