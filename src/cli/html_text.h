// Pieces of HTML.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "cli/ci_outcome.h"
#include "cli/markup.h"

namespace genflow::cli {

// Text for an element or a quoted attribute.
inline std::string HtmlText(std::string_view text) {
  return EscapeMarkup(CleanReportText(text), MarkupPlace::kAttribute);
}

// A coordinate.
inline std::string Fixed1(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

inline std::string HtmlNumber(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

}  // namespace genflow::cli
