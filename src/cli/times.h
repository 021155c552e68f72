// Times of day for people.
#pragma once

#include <cmath>
#include <ctime>
#include <string>

namespace genflow::cli {

// "2026-11-24 16:20:01" in the user's time zone.
inline std::string LocalTime(double seconds) {
  const auto whole = static_cast<time_t>(std::floor(seconds));
  struct tm local {};
  ::localtime_r(&whole, &local);
  char buffer[40];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S", &local);
  return buffer;
}

}  // namespace genflow::cli
