#include "data/redact.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace genflow::data {
namespace {

constexpr int kMaxPasses = 8;

struct Known {
  const char* kind;
  const char* replacement;
  const char* needs;
  const char* pattern;
};

constexpr Known kKnown[] = {
    {"email", "[EMAIL]", "@",
     R"((?<![\w.+-])[A-Za-z0-9][\w.+-]*@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,})"},
    // Keys of well-known services, private keys in PEM, JSON web tokens.
    {"key", "[KEY]", "-_AaejsgGx",
     R"(-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]++|-(?!----END))*+-----END [A-Z ]*PRIVATE KEY-----)"
     R"(|(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9]))"
     R"(|(?<![A-Za-z0-9])sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,})"
     R"(|(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}))"
     R"(|(?<![A-Za-z0-9])(?:xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{35}|hf_[A-Za-z]{30,}))"
     R"(|(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,})"},
    {"ip", "[IP]", ".:",
     R"((?<![\w.:])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.]*\d))"
     R"(|(?<![\w:.])(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6})(?![\w:]))"},
    // International numbers, and ten-digit ones in groups.
    {"phone", "[PHONE]", "0123456789",
     R"((?<![\w.+/-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}|(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4})(?![\w-]|\.\d))"},
};

}  // namespace

Result<Redactor> Redactor::Create(const std::vector<std::string>& kinds) {
  std::vector<std::string> names;
  for (const auto& known : kKnown) names.push_back(known.kind);
  for (const auto& kind : kinds) {
    if (std::find(names.begin(), names.end(), kind) != names.end()) continue;
    const auto near = NearestName(kind, names);
    return InvalidError(
        "'" + kind + "' is nothing that can be redacted",
        near ? "did you mean '" + *near + "'?" : "what can be redacted: " + Join(names, ", "));
  }
  Redactor out;
  // In the order of the table, so that the result does not depend on how the kinds are listed.
  for (const auto& known : kKnown) {
    if (std::find(kinds.begin(), kinds.end(), known.kind) == kinds.end()) continue;
    GF_TRY(text::Pattern pattern, text::Pattern::Compile(known.pattern));
    out.rules_.push_back({known.kind, known.replacement, known.needs, std::move(pattern)});
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
