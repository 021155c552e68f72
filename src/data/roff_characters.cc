#include "data/roff_characters.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <utility>

#include "text/unicode.h"

namespace genflow::data {
namespace {

// Sorted by name.
constexpr std::pair<std::string_view, std::string_view> kCharacters[] = {
    {"!=", "≠"}, {"'A", "Á"}, {"'E", "É"},  {"'I", "Í"}, {"'O", "Ó"}, {"'U", "Ú"}, {"'Y", "Ý"},  {"'a", "á"},
    {"'c", "ć"}, {"'e", "é"}, {"'i", "í"},  {"'o", "ó"}, {"'u", "ú"}, {"'y", "ý"}, {"*A", "Α"},  {"*B", "Β"},
    {"*D", "Δ"}, {"*G", "Γ"}, {"*L", "Λ"},  {"*P", "Π"}, {"*S", "Σ"}, {"*W", "Ω"}, {"*a", "α"},  {"*b", "β"},
    {"*d", "δ"}, {"*e", "ε"}, {"*g", "γ"},  {"*l", "λ"}, {"*m", "μ"}, {"*p", "π"}, {"*r", "ρ"},  {"*s", "σ"},
    {"*w", "ω"}, {"+-", "±"}, {",C", "Ç"},  {",c", "ç"}, {"->", "→"}, {"-D", "Ð"}, {"/L", "Ł"},  {"/O", "Ø"},
    {"/_", "∠"}, {"/l", "ł"}, {"/o", "ø"},  {"12", "½"}, {"14", "¼"}, {"34", "¾"}, {":A", "Ä"},  {":E", "Ë"},
    {":I", "Ï"}, {":O", "Ö"}, {":U", "Ü"},  {":a", "ä"}, {":e", "ë"}, {":i", "ï"}, {":o", "ö"},  {":u", "ü"},
    {":y", "ÿ"}, {"<-", "←"}, {"<=", "≤"},  {"<>", "↔"}, {"==", "≡"}, {"=~", "≅"}, {">=", "≥"},  {"AE", "Æ"},
    {"Bq", "„"}, {"CL", "♣"}, {"Do", "$"},  {"Eu", "€"}, {"Fc", "»"}, {"Fo", "«"}, {"OE", "Œ"},  {"Po", "£"},
    {"S1", "¹"}, {"S2", "²"}, {"S3", "³"},  {"Sd", "ð"}, {"TP", "Þ"}, {"Tp", "þ"}, {"Ye", "¥"},  {"^A", "Â"},
    {"^E", "Ê"}, {"^I", "Î"}, {"^O", "Ô"},  {"^U", "Û"}, {"^a", "â"}, {"^e", "ê"}, {"^i", "î"},  {"^o", "ô"},
    {"^u", "û"}, {"`A", "À"}, {"`E", "È"},  {"`I", "Ì"}, {"`O", "Ò"}, {"`U", "Ù"}, {"`a", "à"},  {"`e", "è"},
    {"`i", "ì"}, {"`o", "ò"}, {"`u", "ù"},  {"aa", "´"}, {"ae", "æ"}, {"ap", "~"}, {"aq", "'"},  {"at", "@"},
    {"ba", "|"}, {"bq", "‚"}, {"br", "|"},  {"bu", "•"}, {"bv", "|"}, {"co", "©"}, {"cq", "’"},  {"ct", "¢"},
    {"dA", "⇓"}, {"da", "↓"}, {"dd", "‡"},  {"de", "°"}, {"dg", "†"}, {"di", "÷"}, {"dq", "\""}, {"em", "—"},
    {"en", "–"}, {"eq", "="}, {"eu", "€"},  {"fc", "›"}, {"fm", "′"}, {"fo", "‹"}, {"ga", "`"},  {"ha", "^"},
    {"hy", "-"}, {"if", "∞"}, {"lA", "⇐"},  {"lB", "["}, {"lC", "{"}, {"la", "<"}, {"lq", "“"},  {"mc", "µ"},
    {"mi", "−"}, {"mo", "∈"}, {"mu", "×"},  {"no", "¬"}, {"oA", "Å"}, {"oa", "å"}, {"oe", "œ"},  {"oq", "‘"},
    {"or", "|"}, {"pl", "+"}, {"ps", "¶"},  {"rA", "⇒"}, {"rB", "]"}, {"rC", "}"}, {"ra", ">"},  {"rg", "®"},
    {"rn", "‾"}, {"rq", "”"}, {"rs", "\\"}, {"ru", "_"}, {"sc", "§"}, {"sh", "#"}, {"sl", "/"},  {"sq", "□"},
    {"sr", "√"}, {"ss", "ß"}, {"te", "∃"},  {"ti", "~"}, {"tm", "™"}, {"ts", "ς"}, {"uA", "⇑"},  {"ua", "↑"},
    {"ul", "_"}, {"vA", "⇕"}, {"vS", "š"},  {"vZ", "Ž"}, {"vc", "č"}, {"vs", "š"}, {"vz", "ž"},  {"~A", "Ã"},
    {"~N", "Ñ"}, {"~O", "Õ"}, {"~a", "ã"},  {"~n", "ñ"}, {"~o", "õ"},
};
static_assert(std::is_sorted(std::begin(kCharacters), std::end(kCharacters),
                             [](const auto& a, const auto& b) { return a.first < b.first; }));

std::string Utf8(uint32_t c) {
  std::string out;
  if (c < 0x20 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return out;
  text::AppendUtf8(c, &out);
  return out;
}

bool ParseNumber(std::string_view text, int base, uint32_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string RoffCharacter(std::string_view name) {
  const auto* found =
      std::lower_bound(std::begin(kCharacters), std::end(kCharacters), name,
                       [](const auto& entry, std::string_view key) { return entry.first < key; });
  if (found != std::end(kCharacters) && found->first == name) return std::string(found->second);
  if (name.size() == 1) return std::string(name);
  uint32_t code = 0;
  if (name.starts_with("char") && ParseNumber(name.substr(4), 10, &code)) return Utf8(code);
  if (name.starts_with("u") && name.size() >= 5) {
    // "u0041_0301": a base character and combining ones.
    std::string out;
    std::string_view rest = name.substr(1);
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('_'), rest.size());
      if (!ParseNumber(rest.substr(0, end), 16, &code)) return "";
      out += Utf8(code);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return out;
  }
  return "";
}

}  // namespace genflow::data
