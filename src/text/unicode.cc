#include "text/unicode.h"

#include <array>
#include <cstring>
#include <memory>

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

// Length of the valid sequence at the start of `text`; 0 when there is none, and then `*bad` is the length of
// the part to replace (Unicode 3.9, "maximal subpart").
size_t ValidLength(std::string_view text, size_t* bad) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  *bad = 1;
  size_t length = 0;
  unsigned low = 0x80, high = 0xbf;  // of the second byte
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    const unsigned next = byte(i);
    if (i >= text.size() || next < low || next > high) {
      *bad = i;
      return 0;
    }
    low = 0x80, high = 0xbf;
  }
  return length;
}

// Length of the ASCII prefix, eight bytes at a time.
size_t AsciiPrefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080ull) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
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

bool IsAscii(std::string_view text) { return AsciiPrefix(text) == text.size(); }

bool IsValidUtf8(std::string_view text) {
  size_t bad = 0;
  while (true) {
    text.remove_prefix(AsciiPrefix(text));
    if (text.empty()) return true;
    const size_t length = ValidLength(text, &bad);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    size_t bad = 0;
    const size_t length = ValidLength(text, &bad);
    if (length > 0)
      out.append(text.substr(0, length));
    else
      out.append("\xef\xbf\xbd");
    text.remove_prefix(length > 0 ? length : bad);
  }
  return out;
}

bool BytesOfToken(std::string_view token, std::string* bytes) {
  static const std::array<int16_t, 0x144> alphabet = BuildAlphabet();
  bytes->clear();
  for (size_t i = 0; i < token.size();) {
    size_t bad = 0;
    if (ValidLength(token.substr(i), &bad) == 0) return false;
    const DecodedChar c = DecodeChar(token.data() + i);
    if (c.code >= alphabet.size() || alphabet[c.code] < 0) return false;
    bytes->push_back(static_cast<char>(alphabet[c.code]));
    i += c.length;
  }
  return true;
}

}  // namespace genflow::text
