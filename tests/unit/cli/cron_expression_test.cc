#include "cli/cron_expression.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <ctime>

namespace genflow::cli {
namespace {

// The zone of a test, put back at its end.
class Zone {
 public:
  explicit Zone(const char* name) {
    if (const char* old = ::getenv("TZ")) old_ = old;
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  ~Zone() {
    if (old_.empty())
      ::unsetenv("TZ");
    else
      ::setenv("TZ", old_.c_str(), 1);
    ::tzset();
  }

 private:
  std::string old_;
};

// Central Europe's rules, without the machine's zone files.
constexpr char kBerlin[] = "CET-1CEST,M3.5.0/2,M10.5.0/3";

std::time_t Utc(const char* text) {
  struct tm parts {};
  EXPECT_NE(::strptime(text, "%Y-%m-%d %H:%M", &parts), nullptr) << text;
  return ::timegm(&parts);
}

// "2026-11-29 03:00 +0100"
std::string Local(std::time_t time) {
  struct tm parts {};
  ::localtime_r(&time, &parts);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M %z", &parts);
  return text;
}

std::vector<std::string> NextTimes(const std::string& text, std::time_t after, int count) {
  const auto cron = CronExpression::Parse(text);
  EXPECT_TRUE(cron.ok()) << cron.error().ToString();
  std::vector<std::string> out;
  for (int i = 0; cron.ok() && i < count; ++i) {
    const auto next = cron->Next(after);
    if (!next) break;
    out.push_back(Local(*next));
    after = *next;
  }
  return out;
}

using Times = std::vector<std::string>;

TEST(CronExpression, NextTimes) {
  const Zone zone("UTC");
  const std::time_t now = Utc("2026-11-28 18:30");  // a Saturday
  EXPECT_EQ(NextTimes("0 3 * * *", now, 2), (Times{"2026-11-29 03:00 +0000", "2026-11-30 03:00 +0000"}));
  EXPECT_EQ(NextTimes("30 18 * * *", now, 1), (Times{"2026-11-29 18:30 +0000"})) << "not now, but after it";
  EXPECT_EQ(NextTimes("*/20 * * * *", now, 3),
            (Times{"2026-11-28 18:40 +0000", "2026-11-28 19:00 +0000", "2026-11-28 19:20 +0000"}));
  EXPECT_EQ(NextTimes("0 9-17/4 * * mon-fri", now, 4),
            (Times{"2026-11-30 09:00 +0000", "2026-11-30 13:00 +0000", "2026-11-30 17:00 +0000",
                   "2026-12-01 09:00 +0000"}));
  EXPECT_EQ(NextTimes("0 0 29 2 *", now, 1), (Times{"2028-02-29 00:00 +0000"}));
  EXPECT_EQ(NextTimes("0 0 * Jan,jul 7", now, 2),
            (Times{"2027-01-03 00:00 +0000", "2027-01-10 00:00 +0000"}));
  EXPECT_EQ(NextTimes("@weekly", now, 1), (Times{"2026-11-29 00:00 +0000"}));
  EXPECT_EQ(NextTimes("@Hourly", now, 1), (Times{"2026-11-28 19:00 +0000"}));
}

TEST(CronExpression, EitherDayFieldWhereBothAreGiven) {
  const Zone zone("UTC");
  const std::time_t now = Utc("2026-11-28 18:30");
  // The 1st of the month, and Fridays.
  EXPECT_EQ(NextTimes("0 0 1 * fri", now, 3),
            (Times{"2026-12-01 00:00 +0000", "2026-12-04 00:00 +0000", "2026-12-11 00:00 +0000"}));
  // `*/2` begins with a star: both have to match.
  EXPECT_EQ(NextTimes("0 0 */2 * fri", now, 2), (Times{"2026-12-11 00:00 +0000", "2026-12-25 00:00 +0000"}));
}

TEST(CronExpression, ClocksThatAreSetForward) {
  const Zone zone(kBerlin);
  const std::time_t before = Utc("2026-03-28 12:00");
  // 02:00 to 03:00 does not exist on 29 March.
  EXPECT_EQ(NextTimes("30 2 * * *", before, 2), (Times{"2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200"}));
  EXPECT_EQ(NextTimes("30 * * * *", Utc("2026-03-29 00:00"), 2),
            (Times{"2026-03-29 01:30 +0100", "2026-03-29 03:30 +0200"}));
}

TEST(CronExpression, ClocksThatAreSetBack) {
  const Zone zone(kBerlin);
  const std::time_t before = Utc("2026-10-24 12:00");
  // 02:00 to 03:00 comes twice on 25 October.
  EXPECT_EQ(NextTimes("30 2 * * *", before, 2), (Times{"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"}));
  EXPECT_EQ(NextTimes("30 * * * *", Utc("2026-10-25 00:00"), 3),
            (Times{"2026-10-25 02:30 +0200", "2026-10-25 02:30 +0100", "2026-10-25 03:30 +0100"}));
}

TEST(CronExpression, PreviousTimes) {
  const Zone zone(kBerlin);
  const auto daily = CronExpression::Parse("0 3 * * *");
  EXPECT_EQ(Local(*daily->Previous(Utc("2026-11-28 02:00"))), "2026-11-28 03:00 +0100");
  EXPECT_EQ(Local(*daily->Previous(Utc("2026-11-28 01:59"))), "2026-11-27 03:00 +0100");
  EXPECT_EQ(Local(*CronExpression::Parse("0 0 29 2 *")->Previous(Utc("2026-11-28 01:59"))),
            "2024-02-29 00:00 +0100");
}

TEST(CronExpression, InNumbersAndForSystemd) {
  const auto forms = [](const char* text) {
    const auto cron = CronExpression::Parse(text);
    EXPECT_TRUE(cron.ok()) << cron.error().ToString();
    std::vector<std::string> out = cron->Calendar();
    out.insert(out.begin(), cron->Normal());
    return out;
  };
  EXPECT_EQ(forms(" 0  3 * * * "), (Times{"0 3 * * *", "*-*-* 03:00:00"}));
  EXPECT_EQ(forms("*/15 9-17/4 * jan-mar Fri-sun"),
            (Times{"*/15 9-17/4 * 1-3 5-7", "Sun,Fri,Sat *-01,02,03-* 09,13,17:00,15,30,45:00"}));
  EXPECT_EQ(forms("0 0 1 * fri"), (Times{"0 0 1 * 5", "*-*-01 00:00:00", "Fri *-*-* 00:00:00"}));
  EXPECT_EQ(forms("@hourly"), (Times{"0 * * * *", "*-*-* *:00:00"}));
}

TEST(CronExpression, MistakesHelp) {
  const auto refusal = [](const char* text) {
    const auto cron = CronExpression::Parse(text);
    EXPECT_FALSE(cron.ok()) << text;
    return cron.ok() ? "" : cron.error().ToString();
  };
  const std::string fields =
      "\n  hint: write five fields: minute hour day-of-month month day-of-week, as in \"0 3 * * *\" for "
      "every "
      "day at 3:00";
  EXPECT_EQ(refusal("0 3 * *"), "schedule \"0 3 * *\" has 4 fields instead of 5" + fields);
  EXPECT_EQ(refusal(""), "schedule \"\" has 0 fields instead of 5" + fields);
  EXPECT_EQ(refusal("0 25 * * *"),
            "schedule \"0 25 * * *\": '25' in the hour field is not from 0 to 23" + fields);
  EXPECT_EQ(refusal("60 * * * *"),
            "schedule \"60 * * * *\": '60' in the minute field is not from 0 to 59" + fields);
  EXPECT_EQ(refusal("0 3 x * *"),
            "schedule \"0 3 x * *\": 'x' in the day of month field is no number" + fields);
  EXPECT_EQ(
      refusal("0 3 * * mno"),
      "schedule \"0 3 * * mno\": 'mno' in the day of week field is no name\n  hint: did you mean 'mon'?");
  EXPECT_EQ(refusal("0 3 * foo *"),
            "schedule \"0 3 * foo *\": 'foo' in the month field is no number and no name" + fields);
  EXPECT_EQ(refusal("0,,5 3 * * *"), "schedule \"0,,5 3 * * *\": '' in the minute field is empty" + fields);
  EXPECT_EQ(
      refusal("*/0 3 * * *"),
      "schedule \"*/0 3 * * *\": '*/0' in the minute field has a step that is not a number from 1 to 59\n"
      "  hint: write a step as in */5 or 10-40/10");
  EXPECT_EQ(refusal("5/15 * * * *"),
            "schedule \"5/15 * * * *\": '5/15' in the minute field has a step without a range\n"
            "  hint: write 5-59/15");
  EXPECT_EQ(refusal("0 22-2 * * *"),
            "schedule \"0 22-2 * * *\": '22-2' in the hour field runs backwards\n"
            "  hint: write two ranges: 22-23,0-2");
  EXPECT_EQ(refusal("@dayly"),
            "schedule \"@dayly\" is no time that is known\n  hint: did you mean '@daily'?");
  EXPECT_EQ(refusal("@reboot"),
            "schedule \"@reboot\" is no time that is known\n  hint: there are @hourly, @daily, @midnight, "
            "@weekly, @monthly, @yearly, @annually");
  EXPECT_EQ(refusal("0 0 30 2 *"),
            "schedule \"0 0 30 2 *\" is never due: no such day comes in the next ten years\n"
            "  hint: check the day of month and the month");
}

}  // namespace
}  // namespace genflow::cli
