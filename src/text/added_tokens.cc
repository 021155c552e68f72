#include "text/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "text/unicode.h"

namespace genflow::text {
namespace {

// \w of Unicode's regular expressions (UTS 18, annex C).
bool IsWordChar(uint32_t code) {
  const auto c = static_cast<UChar32>(code);
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

// Start of the last character of non-empty valid text.
size_t LastChar(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

bool EndsWithWord(std::string_view text) {
  return !text.empty() && IsWordChar(DecodeChar(text.data() + LastChar(text)).code);
}
bool StartsWithWord(std::string_view text) {
  return !text.empty() && IsWordChar(DecodeChar(text.data()).code);
}

bool IsSpace(const char* at) { return (CharClasses()[DecodeChar(at).code] & kSpace) != 0; }

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.content.empty(); });
  std::sort(tokens_.begin(), tokens_.end(),
            [](const auto& a, const auto& b) { return a.content < b.content; });
  for (const auto& token : tokens_) starts_[static_cast<unsigned char>(token.content[0])] = true;
}

const AddedToken* AddedTokenMatcher::Match(std::string_view text) const {
  // Narrows the range of tokens that agree with the text so far, one byte a turn; a token that ends there
  // comes first in its range.
  auto low = tokens_.begin(), high = tokens_.end();
  const AddedToken* best = nullptr;
  for (size_t depth = 0; low != high; ++depth) {
    if (low->content.size() == depth) best = &*low++;
    if (depth == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[depth]);
    const auto at = [depth](const AddedToken& token) {
      return static_cast<unsigned char>(token.content[depth]);
    };
    low = std::partition_point(low, high, [&](const AddedToken& token) { return at(token) < byte; });
    high = std::partition_point(low, high, [&](const AddedToken& token) { return at(token) == byte; });
  }
  return best;
}

bool AddedTokenMatcher::FindNext(std::string_view text, size_t* at, size_t done,
                                 const std::function<bool(size_t, size_t)>& is_text, Found* found) const {
  if (tokens_.empty()) return false;
  while (*at < text.size()) {
    const AddedToken* token =
        starts_[static_cast<unsigned char>(text[*at])] ? Match(text.substr(*at)) : nullptr;
    if (token == nullptr) {
      ++*at;
      continue;
    }
    size_t begin = *at, end = begin + token->content.size();
    *at = end;
    if (token->special && is_text(begin, end)) continue;
    if (token->single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end))))
      continue;
    if (token->lstrip) {
      while (begin > done) {
        const size_t previous = LastChar(text.substr(0, begin));
        if (!IsSpace(text.data() + previous)) break;
        begin = previous;
      }
    }
    if (token->rstrip) {
      while (end < text.size() && IsSpace(text.data() + end)) end += DecodeChar(text.data() + end).length;
    }
    *at = end;
    *found = {token, std::max(begin, done), end};
    return true;
  }
  return false;
}

std::optional<AddedTokenMatcher::Part> AddedTokenMatcher::FirstSpecial(std::string_view text) const {
  size_t at = 0;
  Found found;
  while (FindNext(
      text, &at, 0, [](size_t, size_t) { return false; }, &found)) {
    if (found.token->special) return Part{text.substr(found.begin, found.end - found.begin), found.token->id};
  }
  return std::nullopt;
}

}  // namespace genflow::text
