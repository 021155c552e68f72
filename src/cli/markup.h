// Text in XML and HTML.
#pragma once

#include <string>
#include <string_view>

namespace genflow::cli {

enum class MarkupPlace { kElement, kAttribute };

// Text as the content of an element, or of an attribute in double quotes as well.
inline std::string EscapeMarkup(std::string_view text, MarkupPlace place) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"' && place == MarkupPlace::kAttribute)
      out += "&quot;";
    else
      out += c;
  }
  return out;
}

}  // namespace genflow::cli
