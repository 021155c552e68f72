#include "guard/pii.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/strings.h"
#include "text/pattern.h"
#include "text/personal_data.h"

namespace genflow::guard {
namespace {

using text::Pattern;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string Digits(std::string_view text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out), IsDigit);
  return out;
}

bool RealEmail(std::string_view text) {
  const std::string domain = ToLowerAscii(text.substr(text.rfind('@') + 1));
  // RFC 2606 and RFC 6761.
  for (const char* reserved : {"example.com", "example.org", "example.net", "example.edu"}) {
    const std::string_view name(reserved);
    if (domain == name || (domain.size() > name.size() && domain.ends_with("." + std::string(name))))
      return false;
  }
  for (const char* ending : {".example", ".invalid", ".test", ".localhost", ".local"}) {
    if (domain.ends_with(ending)) return false;
  }
  return true;
}

bool RealPhone(std::string_view text) {
  std::string digits = Digits(text);
  if (digits.size() < 8 || digits.size() > 15) return false;
  if (digits.size() == 11 && digits[0] == '1') digits.erase(0, 1);
  // Area codes and exchanges of the North American plan begin with 2 to 9.
  if (text[0] != '+' && (digits.size() != 10 || digits[0] < '2' || digits[3] < '2')) return false;
  // 555-0100 to 555-0199 are kept for fiction in the North American plan.
  if (digits.size() == 10 && digits.compare(3, 5, "55501") == 0) return false;
  // "000 000 0000" and "123 456 7890" are placeholders.
  const std::set<char> distinct(digits.begin(), digits.end());
  return distinct.size() > 2 && !std::string_view("12345678901234567890").starts_with(digits);
}

bool RealCard(std::string_view text) {
  const std::string digits = Digits(text);
  if (digits.size() < 13 || digits.size() > 19 || std::set<char>(digits.begin(), digits.end()).size() < 2)
    return false;
  return digits[0] >= '2' && digits[0] <= '6' && LuhnValid(digits);
}

bool RealSsn(std::string_view text) {
  // Numbers printed in advertisements and voided for it.
  return text != "078-05-1120" && text != "219-09-9999" && text != "123-45-6789";
}

bool RealIp(std::string_view text) {
  const std::string copy(text);
  std::array<unsigned char, 16> a{};
  if (::inet_pton(AF_INET, copy.c_str(), a.data()) == 1) {
    const auto in = [&](int x, int y = -1, int z = -1) {
      return a[0] == x && (y < 0 || a[1] == y) && (z < 0 || a[2] == z);
    };
    // This network, private, loopback, link-local, shared, documentation, benchmarking, multicast, reserved.
    return !(in(0) || in(10) || in(127) || in(169, 254) || in(192, 168) ||
             (a[0] == 172 && (a[1] & 0xF0) == 16) || (a[0] == 100 && (a[1] & 0xC0) == 64) || in(192, 0, 2) ||
             in(198, 51, 100) || in(203, 0, 113) || (a[0] == 198 && (a[1] & 0xFE) == 18) || a[0] >= 224);
  }
  if (::inet_pton(AF_INET6, copy.c_str(), a.data()) == 1) {
    // Global unicast without the documentation prefix 2001:db8::/32.
    return (a[0] & 0xE0) == 0x20 && !(a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8);
  }
  return false;
}

// A placeholder such as sk-xxxxxxxx has few different characters.
bool RealKey(std::string_view text) {
  return text.starts_with("-----BEGIN") || std::set<char>(text.begin(), text.end()).size() >= 10;
}

// What a match of a type must be besides.
struct Check {
  std::string_view type;
  bool (*real)(std::string_view);
  bool checksum = false;  // the match may have taken in a word or number that stands after the real thing
};
constexpr Check kChecks[] = {
    {"email", RealEmail}, {"phone", RealPhone}, {"iban", IbanValid, true}, {"credit_card", RealCard, true},
    {"ssn", RealSsn},     {"ip", RealIp},       {"api_key", RealKey}};

struct Rule {
  Check check;
  std::string_view needs;
  Pattern pattern;
};

const std::vector<Rule>& Rules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> out;
    for (const auto& entry : text::PersonalDataPatterns()) {
      const auto* check = std::find_if(std::begin(kChecks), std::end(kChecks),
                                       [&](const Check& c) { return c.type == entry.type; });
      out.push_back({*check, entry.needs, Pattern::Compile(entry.pattern).value()});
    }
    return out;
  }();
  return rules;
}

// The longest part of `found` from its start that is real: all of it or, where a checksum fails, what is left
// after cutting it at its last space or hyphen once or more. "" when there is none.
std::string_view RealPart(const Check& check, std::string_view found) {
  while (!check.real(found)) {
    const size_t cut = check.checksum ? found.find_last_of(" -") : std::string_view::npos;
    if (cut == std::string_view::npos) return {};
    found = found.substr(0, cut);
  }
  return found;
}

}  // namespace

const std::vector<std::string>& PiiTypes() {
  static const std::vector<std::string> types = [] {
    std::vector<std::string> out;
    for (const auto& check : kChecks) out.emplace_back(check.type);
    return out;
  }();
  return types;
}

bool LuhnValid(std::string_view text) {
  const std::string digits = Digits(text);
  int sum = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    int d = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1 && (d *= 2) > 9) d -= 9;
    sum += d;
  }
  return !digits.empty() && sum % 10 == 0;
}

bool IbanValid(std::string_view text) {
  std::string iban;
  std::copy_if(text.begin(), text.end(), std::back_inserter(iban), [](char c) { return c != ' '; });
  if (iban.size() < 15 || iban.size() > 34) return false;
  std::rotate(iban.begin(), iban.begin() + 4, iban.end());
  int remainder = 0;
  for (const char c : iban) {
    if (IsDigit(c))
      remainder = (remainder * 10 + (c - '0')) % 97;
    else if (c >= 'A' && c <= 'Z')
      remainder = (remainder * 100 + (c - 'A' + 10)) % 97;
    else
      return false;
  }
  return remainder == 1;
}

Result<std::vector<PiiFinding>> FindPii(std::string_view text, const std::vector<std::string>& types) {
  std::vector<PiiFinding> out;
  for (const Rule& rule : Rules()) {
    const Check& check = rule.check;
    if (!types.empty() && std::find(types.begin(), types.end(), check.type) == types.end()) continue;
    if (text.find_first_of(rule.needs) == std::string_view::npos) continue;
    for (size_t from = 0; from <= text.size();) {
      GF_TRY(const auto match, rule.pattern.Find(text, from));
      if (!match) break;
      const std::string_view found = RealPart(check, text.substr(match->begin, match->end - match->begin));
      if (!found.empty()) out.push_back({std::string(check.type), std::string(found)});
      from = found.empty() ? std::max(match->end, match->begin + 1) : match->begin + found.size();
    }
  }
  return out;
}

}  // namespace genflow::guard
