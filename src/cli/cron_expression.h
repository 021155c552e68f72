// When a schedule is due: the five fields of crontab(5), and the times that they mean in the machine's zone.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::cli {

// minute hour day-of-month month day-of-week; numbers, `*`, lists, ranges, steps (`*/5`, `10-40/10`), names
// of months and days, and @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually. Where neither
// day field begins with `*`, a day that matches either of them is meant, as cron has it.
//
// Clocks that are set forward or back: a fixed time that is left out is due at once after the gap, and one
// that comes twice is due the first time; where the minute or hour field begins with `*`, every minute that
// matches the clock on the wall is due. This is what Debian's cron does.
class CronExpression {
 public:
  static Result<CronExpression> Parse(const std::string& text);

  // As it was written.
  const std::string& text() const { return text_; }
  // The five fields in numbers, which every cron understands.
  std::string Normal() const;
  // The same times as systemd's OnCalendar= values; two where days are told in two ways.
  std::vector<std::string> Calendar() const;

  // The first time after `after`; nothing when there is none in the next ten years.
  std::optional<std::time_t> Next(std::time_t after) const;
  // The last time up to `until`; nothing when there is none in the ten years before.
  std::optional<std::time_t> Previous(std::time_t until) const;

 private:
  static constexpr size_t kFields = 5;

  bool DayMatches(int month, int day, int weekday) const;
  // All times of a calendar day, ascending.
  std::vector<std::time_t> TimesOf(int year, int month, int day) const;

  std::string text_;
  std::array<std::string, kFields> normal_;
  std::array<uint64_t, kFields> sets_{};  // bit n: the value n is meant; Sunday is 0
};

}  // namespace genflow::cli
