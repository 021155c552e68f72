#include "data/template.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/strings.h"
#include "text/white_space.h"

namespace genflow::data {
namespace {

constexpr const char* kFilterNames[] = {"lower",    "upper",          "capitalize", "uncapitalize",
                                        "trim",     "oneline",        "period",     "no_period",
                                        "sentence", "first_sentence", "truncate",   "default"};

std::string FromUnicode(const icu::UnicodeString& text) {
  std::string out;
  text.toUTF8String(out);
  return out;
}

// The first character, and its end.
std::pair<UChar32, size_t> FirstCharacter(const std::string& text) {
  if (text.empty()) return {0, 0};
  int32_t at = 0;
  UChar32 c = 0;
  U8_NEXT_OR_FFFD(text.data(), at, static_cast<int32_t>(text.size()), c);
  return {c, static_cast<size_t>(at)};
}

std::string WithFirst(const std::string& text, bool upper) {
  const auto [c, end] = FirstCharacter(text);
  if (end == 0) return text;
  return FromUnicode(icu::UnicodeString(upper ? u_toupper(c) : u_tolower(c))) + text.substr(end);
}

std::string Uncapitalize(const std::string& text) {
  const auto [c, end] = FirstCharacter(text);
  size_t at = end;
  while (at < text.size() && text[at] != ' ') {
    if (text[at] >= 'A' && text[at] <= 'Z') return text;
    ++at;
  }
  if (at == end && end < text.size()) return text;  // "A file", "I": a word of one letter says nothing
  return WithFirst(text, false);
}

std::string Period(std::string text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n')) text.pop_back();
  if (!text.empty() && std::string_view(".!?:").find(text.back()) == std::string_view::npos) text += '.';
  return text;
}

std::string FirstSentence(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '.' && text[i] != '!' && text[i] != '?') continue;
    const bool ends_word = i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n';
    // "e.g.", "i.e." and initials end no sentence.
    const bool abbreviation = text[i] == '.' && i >= 2 && (text[i - 2] == '.' || text[i - 2] == ' ');
    if (ends_word && !abbreviation) return text.substr(0, i + 1);
  }
  return text;
}

std::string Truncate(const std::string& text, size_t limit) {
  size_t characters = 0, last_space = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
    if (characters == limit) return text.substr(0, last_space > 0 && text[i] != ' ' ? last_space : i);
    if (text[i] == ' ') last_space = i;
    ++characters;
  }
  return text;
}

}  // namespace

Result<Template::Filter> Template::ParseFilter(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = Trim(text.substr(0, colon));
  Filter filter{};
  if (colon != std::string_view::npos) filter.argument = std::string(text.substr(colon + 1));
  const std::vector<std::string> names(std::begin(kFilterNames), std::end(kFilterNames));
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] != name) continue;
    filter.kind = static_cast<FilterKind>(i);
    if (filter.kind == FilterKind::kTruncate) {
      const std::string_view digits = Trim(filter.argument);
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), filter.number);
      if (error != std::errc() || end != digits.data() + digits.size() || filter.number == 0) {
        return InvalidError("filter 'truncate' wants a number of characters, as in truncate:80");
      }
    } else if (filter.kind != FilterKind::kDefault && colon != std::string_view::npos) {
      return InvalidError("filter '" + std::string(name) + "' takes no argument");
    }
    return filter;
  }
  const auto near = NearestName(name, names);
  return InvalidError("there is no filter '" + std::string(name) + "'",
                      near ? "did you mean '" + *near + "'?" : "filters are " + Join(names, ", "));
}

Result<Template> Template::Compile(std::string_view text) {
  Template out;
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) out.pieces_.push_back({std::move(literal), "", {}});
    literal.clear();
  };
  const auto in_template = [&](Error error) {
    // A message is one line; a template may have more.
    const std::string_view line = text.substr(0, text.find('\n'));
    error.message += " in the template '" + std::string(line) + (line.size() < text.size() ? "…'" : "'");
    return error;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      literal += c;
      ++i;
      continue;
    }
    if (c == '}') return in_template(InvalidError("'}' closes nothing", "write }} for a brace"));
    if (c != '{') {
      literal += c;
      continue;
    }
    const size_t end = text.find('}', i);
    if (end == std::string_view::npos) {
      return in_template(InvalidError("'{' is never closed", "write {{ for a brace"));
    }
    const auto parts = Split(text.substr(i + 1, end - i - 1), '|');
    Piece piece;
    piece.path = std::string(Trim(parts[0]));
    if (piece.path.empty()) return in_template(InvalidError("'{}' names no field"));
    for (size_t f = 1; f < parts.size(); ++f) {
      auto filter = ParseFilter(parts[f]);
      if (!filter.ok()) return in_template(std::move(filter).error());
      piece.filters.push_back(*std::move(filter));
    }
    flush();
    out.pieces_.push_back(std::move(piece));
    i = end;
  }
  flush();
  return out;
}

std::vector<std::string> Template::Paths() const {
  std::vector<std::string> out;
  for (const auto& piece : pieces_) {
    if (!piece.path.empty()) out.push_back(piece.path);
  }
  return out;
}

std::vector<std::string> Template::NeededPaths() const {
  std::vector<std::string> out;
  for (const auto& piece : pieces_) {
    const bool has_default =
        std::any_of(piece.filters.begin(), piece.filters.end(), [](const Filter& filter) {
          return filter.kind == FilterKind::kDefault && !Trim(filter.argument).empty();
        });
    if (!piece.path.empty() && !has_default) out.push_back(piece.path);
  }
  return out;
}

std::string Template::Apply(const Filter& filter, std::string text) {
  switch (filter.kind) {
    case FilterKind::kLower:
      return FromUnicode(icu::UnicodeString::fromUTF8(text).toLower(icu::Locale::getRoot()));
    case FilterKind::kUpper:
      return FromUnicode(icu::UnicodeString::fromUTF8(text).toUpper(icu::Locale::getRoot()));
    case FilterKind::kCapitalize:
      return WithFirst(text, true);
    case FilterKind::kUncapitalize:
      return Uncapitalize(text);
    case FilterKind::kTrim:
      return std::string(Trim(text));
    case FilterKind::kOneline:
      return text::CollapseSpaces(text);
    case FilterKind::kPeriod:
      return Period(std::move(text));
    case FilterKind::kNoPeriod:
      while (!text.empty() && (text.back() == '.' || text.back() == ' ')) text.pop_back();
      return text;
    case FilterKind::kSentence:
      return Period(WithFirst(text::CollapseSpaces(text), true));
    case FilterKind::kFirstSentence:
      return FirstSentence(text);
    case FilterKind::kTruncate:
      return Truncate(text, filter.number);
    case FilterKind::kDefault:
      return Trim(text).empty() ? filter.argument : text;
  }
  return text;
}

std::optional<std::string> Template::Expand(FieldReader* fields, std::string* missing) const {
  std::string out;
  for (const auto& piece : pieces_) {
    if (piece.path.empty()) {
      out += piece.literal;
      continue;
    }
    std::string value = fields->Get(piece.path).value_or("");
    for (const auto& filter : piece.filters) value = Apply(filter, std::move(value));
    if (Trim(value).empty()) {
      if (missing != nullptr) *missing = piece.path;
      return std::nullopt;
    }
    out += value;
  }
  return out;
}

}  // namespace genflow::data
