// White space in running text.
#pragma once

#include <string>
#include <string_view>

namespace genflow::text {

// One space for each run of ASCII blanks and line ends, none at the ends.
inline std::string CollapseSpaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace genflow::text
