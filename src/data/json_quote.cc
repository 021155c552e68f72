#include "data/json_quote.h"

#include <cstdio>

namespace genflow::data {

void AppendQuoted(std::string_view text, std::string* out) {
  *out += '"';
  size_t from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out->append(text, from, i - from);
    from = i + 1;
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += text[i];
    } else {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      *out += code;
    }
  }
  out->append(text, from);
  *out += '"';
}

}  // namespace genflow::data
