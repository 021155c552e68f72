// The log file of one attempt: plain lines with a time in front.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace genflow {

class LogFile {
 public:
  static constexpr std::string_view kEngineLevel = "genflow";  // of lines that the engine adds
  static constexpr std::string_view kOutputLevel = "output";   // of what a stage writes to stdout and stderr

  static Result<LogFile> Open(const std::filesystem::path& path);

  // "2026-11-24T16:20:01.123Z LEVEL TEXT", one line for each line of `text`. A full disk loses lines, not
  // the stage. Returns the text as it is written: without what would steer a terminal.
  std::string Write(double wall_time, std::string_view level, std::string_view text);
  const std::filesystem::path& path() const { return path_; }
  // The last lines that came from the stage, without times and levels.
  std::vector<std::string> Tail() const { return {tail_.begin(), tail_.end()}; }

 private:
  static constexpr size_t kTailLines = 20;

  LogFile(Fd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::filesystem::path path_;
  std::deque<std::string> tail_;
};

// "2026-11-24T16:20:01.123Z"
std::string FormatUtc(double wall_time);

}  // namespace genflow
