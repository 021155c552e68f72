#include "engine/log_file.h"

#include <fcntl.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/strings.h"
#include "engine/report_lines.h"

namespace genflow {

Result<LogFile> LogFile::Open(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  return LogFile(std::move(fd), path);
}

std::string LogFile::Write(double wall_time, std::string_view level, std::string_view text) {
  std::string clean = CleanText(text);
  const std::string prefix = FormatUtc(wall_time) + " " + std::string(level) + " ";
  std::string out;
  std::string_view rest = clean;
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  for (const auto line : Split(rest, '\n')) {
    out += prefix;
    out += line;
    out += '\n';
    if (level == kEngineLevel) continue;
    tail_.emplace_back(line);
    if (tail_.size() > kTailLines) tail_.pop_front();
  }
  (void)WriteAll(fd_.get(), out).ok();
  return clean;
}

std::string FormatUtc(double wall_time) {
  const double whole = std::floor(wall_time);
  const auto seconds = static_cast<time_t>(whole);
  struct tm utc {};
  ::gmtime_r(&seconds, &utc);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<int>((wall_time - whole) * 1000));
  return buffer;
}

}  // namespace genflow
