#include "text/unicode.h"

#include <array>
#include <memory>

#include "base/strings.h"
#include "base/utf8.h"

namespace genflow::text {
namespace {

struct ClassRange {
  uint32_t first, last;
  uint8_t bits;
};
constexpr ClassRange kRanges[] = {
#include "text/unicode_classes.inc"
};

std::unique_ptr<uint8_t[]> BuildClasses() {
  auto table = std::make_unique<uint8_t[]>(0x110000);
  for (const auto& range : kRanges) {
    for (uint32_t code = range.first; code <= range.last; ++code) table[code] |= range.bits;
  }
  return table;
}

// Byte that each character of GPT-2's alphabet stands for; -1 outside it.
std::array<int16_t, 0x144> BuildAlphabet() {
  std::array<int16_t, 0x144> table;
  table.fill(-1);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table[printable ? byte : next++] = static_cast<int16_t>(byte);
  }
  return table;
}

}  // namespace

const uint8_t* CharClasses() {
  static const std::unique_ptr<uint8_t[]> table = BuildClasses();
  return table.get();
}

void AppendUtf8(uint32_t code, std::string* to) {
  const auto put = [&](uint32_t byte) { to->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6), put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18), put(0x80 | (code >> 12 & 0x3f)), put(0x80 | (code >> 6 & 0x3f)),
        put(0x80 | (code & 0x3f));
  }
}

bool IsAscii(std::string_view text) { return AsciiLength(text) == text.size(); }

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const Utf8Char first = FirstUtf8Char(text);
    out.append(first.valid ? text.substr(0, first.length) : "\xef\xbf\xbd");
    text.remove_prefix(first.length);
  }
  return out;
}

bool BytesOfToken(std::string_view token, std::string* bytes) {
  static const std::array<int16_t, 0x144> alphabet = BuildAlphabet();
  bytes->clear();
  for (size_t i = 0; i < token.size();) {
    if (Utf8CharLength(token.substr(i)) == 0) return false;
    const DecodedChar c = DecodeChar(token.data() + i);
    if (c.code >= alphabet.size() || alphabet[c.code] < 0) return false;
    bytes->push_back(static_cast<char>(alphabet[c.code]));
    i += c.length;
  }
  return true;
}

}  // namespace genflow::text
