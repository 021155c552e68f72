#include "data/normalize.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "base/strings.h"
#include "data/stable_hash.h"
#include "text/unicode.h"

namespace genflow::data {
namespace {

bool IsAscii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return (static_cast<unsigned char>(c) & 0x80) != 0; });
}

UChar32 NextCharacter(std::string_view text, size_t* at) {
  const auto c = static_cast<unsigned char>(text[*at]);
  if (c < 0x80) {
    ++*at;
    return c;
  }
  auto i = static_cast<int64_t>(*at);
  UChar32 out = 0;
  U8_NEXT_OR_FFFD(text.data(), i, static_cast<int64_t>(text.size()), out);
  *at = static_cast<size_t>(i);
  return out;
}

bool IsSpace(UChar32 c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || u_isUWhiteSpace(c) != 0;
}

bool IsStripped(UChar32 c) {
  if (c < 0x20) return c != '\n' && c != '\t' && c != '\r';
  if (c < 0x7F) return false;
  if (c <= 0x9F) return c != 0x85;
  return c == 0xAD || c == 0x200B || (c >= 0x200E && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) ||
         c == 0x2060 || (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

std::string StripControl(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    if (!IsStripped(NextCharacter(text, &at))) out.append(text.substr(from, at - from));
  }
  return out;
}

std::string Nfc(std::string text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(error);
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(std::min<size_t>(text.size(), INT32_MAX)));
  if (U_FAILURE(error) || text.size() > INT32_MAX || nfc->isNormalizedUTF8(piece, error)) return text;
  std::string out;
  icu::StringByteSink<std::string> sink(&out, static_cast<int32_t>(text.size()));
  nfc->normalizeUTF8(0, piece, sink, nullptr, error);
  return U_SUCCESS(error) ? out : text;
}

std::string Collapse(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool pending = false;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    if (IsSpace(NextCharacter(text, &at))) {
      pending = !out.empty();
    } else {
      if (pending) out += ' ';
      pending = false;
      out.append(text.substr(from, at - from));
    }
  }
  return out;
}

std::string_view WithoutEndSpaces(std::string_view line) {
  size_t end = line.size();
  while (end > 0) {
    size_t start = end - 1;
    while (start > 0 && (static_cast<unsigned char>(line[start]) & 0xC0) == 0x80) --start;
    size_t at = start;
    if (!IsSpace(NextCharacter(line, &at))) break;
    end = start;
  }
  return line.substr(0, end);
}

std::string Lines(std::string_view text) {
  std::string unified;
  if (text.find('\r') != std::string_view::npos) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\r') {
        unified += text[i];
      } else if (i + 1 == text.size() || text[i + 1] != '\n') {
        unified += '\n';
      }
    }
    text = unified;
  }
  std::string out;
  out.reserve(text.size());
  size_t empty = 0;
  for (const std::string_view raw : Split(text, '\n')) {
    const std::string_view line = WithoutEndSpaces(raw);
    if (line.empty()) {
      ++empty;
      continue;
    }
    if (!out.empty()) out.append(empty > 0 ? 2 : 1, '\n');
    empty = 0;
    out += line;
  }
  return out;
}

template <class F>
void ForEachWord(std::string_view text, F&& f) {
  size_t start = std::string_view::npos;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    if (IsSpace(NextCharacter(text, &at))) {
      if (start != std::string_view::npos) f(text.substr(start, from - start));
      start = std::string_view::npos;
    } else if (start == std::string_view::npos) {
      start = from;
    }
  }
  if (start != std::string_view::npos) f(text.substr(start));
}

}  // namespace

std::string Normalize(std::string_view text, const NormalizeOptions& options) {
  std::string out;
  const bool ascii = IsAscii(text);
  const bool has_control =
      !ascii || std::any_of(text.begin(), text.end(), [](char c) { return IsStripped(c); });
  out = options.strip_control && has_control ? StripControl(text) : std::string(text);
  if (options.nfc && !ascii) out = Nfc(std::move(out));
  if (options.whitespace == Whitespace::kLines) return Lines(out);
  if (options.whitespace == Whitespace::kCollapse) return Collapse(out);
  return out;
}

TextNumbers Measure(std::string_view text) {
  TextNumbers numbers;
  bool in_word = false;
  for (size_t at = 0; at < text.size();) {
    const UChar32 c = NextCharacter(text, &at);
    ++numbers.characters;
    if (IsSpace(c)) {
      in_word = false;
      continue;
    }
    ++numbers.not_spaces;
    if (!in_word) ++numbers.words;
    in_word = true;
    if (c < 0x80) {
      numbers.letters += static_cast<uint64_t>((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    } else {
      numbers.ascii = false;
      numbers.letters += static_cast<uint64_t>(u_isalpha(c) != 0);
    }
  }
  return numbers;
}

double RepeatedLineShare(std::string_view text) {
  std::unordered_set<uint64_t> seen;
  uint64_t all = 0, repeated = 0;
  for (const std::string_view raw : Split(text, '\n')) {
    const std::string_view line = Trim(raw);
    if (line.empty()) continue;
    all += line.size();
    if (!seen.insert(StableHash(line)).second) repeated += line.size();
  }
  return all == 0 ? 0 : static_cast<double>(repeated) / static_cast<double>(all);
}

double RepeatedWordShare(std::string_view text) {
  std::unordered_set<uint64_t> seen;
  uint64_t all = 0, repeated = 0, index = 0;
  uint64_t last[3] = {};
  ForEachWord(text, [&](std::string_view word) {
    last[index++ % 3] = StableHash(word);
    if (index < 3) return;
    const uint64_t run[3] = {last[(index - 3) % 3], last[(index - 2) % 3], last[(index - 1) % 3]};
    ++all;
    const std::string_view bytes(reinterpret_cast<const char*>(run), sizeof run);
    if (!seen.insert(StableHash(bytes)).second) ++repeated;
  });
  return all == 0 ? 0 : static_cast<double>(repeated) / static_cast<double>(all);
}

std::string DedupKey(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool pending = false;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    const UChar32 c = NextCharacter(text, &at);
    const bool keep = c < 0x80 ? ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9')
                               : (U_GET_GC_MASK(c) & (U_GC_L_MASK | U_GC_ND_MASK | U_GC_M_MASK)) != 0;
    if (!keep) {
      pending = !out.empty();
      continue;
    }
    if (pending) out += ' ';
    pending = false;
    if (c < 0x80) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    } else if (const UChar32 lower = u_tolower(c); lower == c) {
      out.append(text.substr(from, at - from));
    } else {
      text::AppendUtf8(static_cast<uint32_t>(lower), &out);
    }
  }
  return out;
}

}  // namespace genflow::data
