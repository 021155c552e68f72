// UTF-8 that may be anything.
#pragma once

#include <cstddef>
#include <string_view>

namespace genflow {

// What a text begins with.
struct Utf8Char {
  size_t length;  // 1 to 4 bytes; where none is well-formed, those that one U+FFFD replaces (Unicode 3.9)
  bool valid;     // well-formed: table 3-7 of the standard
  bool cut;       // a well-formed beginning of one that the text ends in
};
// `text` is not empty.
Utf8Char FirstUtf8Char(std::string_view text);

// Bytes of ASCII that `text` begins with.
size_t AsciiLength(std::string_view text);

}  // namespace genflow
