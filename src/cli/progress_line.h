// One line on the terminal that says how far a long command is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace genflow::cli {

// A line on standard error with a bar, drawn at its first call and ten times a second. Never blocks.
class ProgressLine {
 public:
  void Show(const std::string& doing, uint64_t done, uint64_t total, const std::string& counts);
  // Takes the line off the terminal, if there is one.
  void Clear();

 private:
  std::string doing_;
  std::chrono::steady_clock::time_point next_;
  bool shown_ = false;
};

}  // namespace genflow::cli
