#include "data/redact.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/strings.h"
#include "text/personal_data.h"

namespace genflow::data {
namespace {

constexpr int kMaxPasses = 8;

// What can be redacted, in the order in which it is done, so that the result does not depend on how the kinds
// are listed.
struct Known {
  std::string_view kind, type, replacement;
};
constexpr Known kKnown[] = {{"email", "email", "[EMAIL]"},
                            {"key", "api_key", "[KEY]"},
                            {"ip", "ip", "[IP]"},
                            {"phone", "phone", "[PHONE]"}};

}  // namespace

Result<Redactor> Redactor::Create(const std::vector<std::string>& kinds) {
  std::vector<std::string> names;
  for (const auto& known : kKnown) names.emplace_back(known.kind);
  for (const auto& kind : kinds) {
    if (std::find(names.begin(), names.end(), kind) != names.end()) continue;
    const auto near = NearestName(kind, names);
    return InvalidError(
        "'" + kind + "' is nothing that can be redacted",
        near ? "did you mean '" + *near + "'?" : "what can be redacted: " + Join(names, ", "));
  }
  Redactor out;
  for (const auto& known : kKnown) {
    if (std::find(kinds.begin(), kinds.end(), known.kind) == kinds.end()) continue;
    for (const auto& entry : text::PersonalDataPatterns()) {
      if (entry.type != known.type || !entry.whole) continue;
      GF_TRY(text::Pattern pattern, text::Pattern::Compile(entry.pattern));
      out.rules_.push_back(
          {std::string(known.kind), std::string(known.replacement), entry.needs, std::move(pattern)});
    }
  }
  return out;
}

Status Redactor::Apply(std::string* text, std::map<std::string, uint64_t>* counts) const {
  // A replacement may lay open what stood next to it.
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    GF_TRY(const bool found, ApplyOnce(text, counts));
    if (!found) break;
  }
  return Ok();
}

Result<bool> Redactor::ApplyOnce(std::string* text, std::map<std::string, uint64_t>* counts) const {
  bool found = false;
  for (const auto& rule : rules_) {
    if (text->find_first_of(rule.needs) == std::string::npos) continue;
    std::string out;
    size_t from = 0;
    while (true) {
      GF_TRY(const auto match, rule.pattern.Find(*text, from));
      if (!match || match->end == match->begin) break;
      out.append(*text, from, match->begin - from);
      out += rule.replacement;
      from = match->end;
      ++(*counts)[rule.kind];
    }
    if (from == 0) continue;
    out.append(*text, from);
    *text = std::move(out);
    found = true;
  }
  return found;
}

}  // namespace genflow::data
