#include "engine/executor.h"

#include <chrono>

namespace genflow {

double SystemClock::Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double SystemClock::WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string PortVariable(const std::string& direction, const std::string& port) {
  std::string out = "GENFLOW_" + direction + "_";
  for (const char c : port) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool word = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += lower ? static_cast<char>(c - 'a' + 'A') : word ? c : '_';
  }
  return out;
}

}  // namespace genflow
