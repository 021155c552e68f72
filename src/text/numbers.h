// Numbers as people read them.
#pragma once

#include <cstdio>
#include <string>

namespace genflow::text {

// Up to six significant digits: "0.0002", "16", "1e+06".
inline std::string Number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// "12.5%" of 0.125.
inline std::string Percent(double share) {
  char text[40];
  std::snprintf(text, sizeof text, "%.1f%%", share * 100);
  return text;
}

}  // namespace genflow::text
