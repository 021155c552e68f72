// Character classes and UTF-8, as Hugging Face tokenizers see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace genflow::text {

// Bits of a code point's class.
enum CharClass : uint8_t {
  kLetter = 1,  // \p{L}
  kNumber = 2,  // \p{N}
  kSpace = 4,   // \s
  kDigit = 8,   // Rust's char::is_numeric
};

// One byte a code point, 0x110000 of them.
const uint8_t* CharClasses();

struct DecodedChar {
  uint32_t code;
  uint32_t length;  // bytes
};
// The character that starts at `at` of valid UTF-8 text.
inline DecodedChar DecodeChar(const char* at) {
  const auto* p = reinterpret_cast<const unsigned char*>(at);
  if (p[0] < 0x80) return {p[0], 1};
  if (p[0] < 0xe0) return {(p[0] & 0x1fu) << 6 | (p[1] & 0x3fu), 2};
  if (p[0] < 0xf0) return {(p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu), 3};
  return {(p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu), 4};
}

void AppendUtf8(uint32_t code, std::string* to);

bool IsAscii(std::string_view text);
// Each maximal part of an invalid sequence becomes U+FFFD, as by Python's bytes.decode("utf-8", "replace").
std::string ReplaceInvalidUtf8(std::string_view text);

// GPT-2's alphabet, in which every byte is one printable character. The bytes that `token` spells, or false
// when it has a character outside the alphabet.
bool BytesOfToken(std::string_view token, std::string* bytes);

}  // namespace genflow::text
