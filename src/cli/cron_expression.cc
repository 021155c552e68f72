#include "cli/cron_expression.h"

#include <algorithm>

#include "base/strings.h"

namespace genflow::cli {

namespace {

enum Field : size_t { kMinute, kHour, kDay, kMonth, kWeekday };

struct FieldKind {
  const char* name;
  int low, high;
  std::vector<std::string> names;  // of the values from `low` on
};

const FieldKind& KindOf(size_t field) {
  static const FieldKind kinds[] = {
      {"minute", 0, 59, {}},
      {"hour", 0, 23, {}},
      {"day of month", 1, 31, {}},
      {"month", 1, 12, {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
      {"day of week", 0, 7, {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
  };
  return kinds[field];
}

constexpr char kHint[] =
    "write five fields: minute hour day-of-month month day-of-week, as in \"0 3 * * *\" for every day at "
    "3:00";

constexpr std::pair<const char*, const char*> kNicknames[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

// The fields of one expression while they are read.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  // `normal`: the field in numbers.
  Status Read(size_t field, std::string_view text, uint64_t& set, std::string& normal) {
    field_ = field;
    std::vector<std::string> parts;
    for (const auto part : Split(text, ',')) {
      std::string in_numbers;
      GF_CHECK_OK(ReadPart(part, set, in_numbers));
      parts.push_back(std::move(in_numbers));
    }
    normal = Join(parts, ",");
    return Ok();
  }

 private:
  Error Wrong(std::string_view word, const std::string& what, std::string hint = kHint) const {
    return InvalidError("schedule \"" + text_ + "\": '" + std::string(word) + "' in the " +
                            KindOf(field_).name + " field " + what,
                        std::move(hint));
  }

  // A number or a name. `end`: of a range, where Sunday is 7.
  Result<int> Value(std::string_view word, bool end) const {
    const FieldKind& kind = KindOf(field_);
    if (word.empty()) return Wrong(word, "is empty");
    if (std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      const int value = word.size() > 4 ? 10000 : std::stoi(std::string(word));
      if (value >= kind.low && value <= kind.high) return value;
      return Wrong(word, "is not from " + std::to_string(kind.low) + " to " + std::to_string(kind.high));
    }
    const auto name = std::find(kind.names.begin(), kind.names.end(), ToLowerAscii(word));
    if (name != kind.names.end()) {
      const int value = kind.low + static_cast<int>(name - kind.names.begin());
      return end && field_ == kWeekday && value == 0 ? 7 : value;
    }
    if (const auto near = NearestName(ToLowerAscii(word), kind.names))
      return Wrong(word, "is no name", "did you mean '" + *near + "'?");
    return Wrong(word, kind.names.empty() ? "is no number" : "is no number and no name");
  }

  Status ReadPart(std::string_view part, uint64_t& set, std::string& normal) const {
    const FieldKind& kind = KindOf(field_);
    const std::string_view whole = part;
    int step = 1;
    const size_t slash = part.find('/');
    if (slash != std::string_view::npos) {
      const std::string_view count = part.substr(slash + 1);
      const bool digits = !count.empty() && count.size() <= 4 &&
                          count.find_first_not_of("0123456789") == std::string_view::npos;
      step = digits ? std::stoi(std::string(count)) : 0;
      if (step < 1 || step > kind.high) {
        return Wrong(whole, "has a step that is not a number from 1 to " + std::to_string(kind.high),
                     "write a step as in */5 or 10-40/10");
      }
      part = part.substr(0, slash);
    }
    int low = kind.low, high = field_ == kWeekday ? 6 : kind.high;
    const size_t dash = part.find('-');
    if (part == "*") {
      normal = "*";
    } else if (dash != std::string_view::npos) {
      GF_TRY(low, Value(part.substr(0, dash), false));
      GF_TRY(high, Value(part.substr(dash + 1), true));
      if (low > high) {
        return Wrong(whole, "runs backwards",
                     "write two ranges: " + std::to_string(low) + "-" +
                         std::to_string(field_ == kWeekday ? 6 : kind.high) + "," + std::to_string(kind.low) +
                         "-" + std::to_string(high));
      }
      normal = std::to_string(low) + "-" + std::to_string(high);
    } else {
      GF_TRY(low, Value(part, false));
      if (slash != std::string_view::npos) {
        return Wrong(
            whole, "has a step without a range",
            "write " + std::to_string(low) + "-" + std::to_string(high) + "/" + std::to_string(step));
      }
      high = low;
      normal = std::to_string(low);
    }
    if (step != 1) normal += "/" + std::to_string(step);
    for (int value = low; value <= high; value += step)
      set |= 1ull << (field_ == kWeekday && value == 7 ? 0 : value);
    return Ok();
  }

  const std::string& text_;
  size_t field_ = 0;
};

bool Has(uint64_t set, int value) { return ((set >> value) & 1) != 0; }

long OffsetAt(std::time_t time) {
  struct tm local {};
  ::localtime_r(&time, &local);
  return local.tm_gmtoff;
}

// What a clock on the wall shows; `summer` as tm_isdst has it: 1, 0, or -1 where that is not known.
struct tm OnTheWall(int year, int month, int day, int hour, int minute, int summer) {
  struct tm local {};
  local.tm_year = year - 1900;
  local.tm_mon = month - 1;
  local.tm_mday = day;
  local.tm_hour = hour;
  local.tm_min = minute;
  local.tm_isdst = summer;
  return local;
}

// The times at which the clock on the wall shows this: none in a gap, two where it is set back.
std::vector<std::time_t> Shown(int year, int month, int day, int hour, int minute) {
  std::vector<std::time_t> out;
  for (const int summer : {1, 0}) {
    struct tm local = OnTheWall(year, month, day, hour, minute, summer);
    const std::time_t time = ::mktime(&local);
    struct tm check {};
    ::localtime_r(&time, &check);
    const bool same = check.tm_year == year - 1900 && check.tm_mon == month - 1 && check.tm_mday == day &&
                      check.tm_hour == hour && check.tm_min == minute;
    if (same && std::find(out.begin(), out.end(), time) == out.end()) out.push_back(time);
  }
  std::sort(out.begin(), out.end());
  return out;
}

// The end of the gap that swallows this time of day.
std::time_t EndOfGap(int year, int month, int day, int hour, int minute) {
  struct tm local = OnTheWall(year, month, day, hour, minute, -1);
  const std::time_t near = ::mktime(&local);
  std::time_t before = near - 6 * 3600, after = near + 6 * 3600;
  const long offset = OffsetAt(before);
  while (after - before > 1) {
    const std::time_t middle = before + (after - before) / 2;
    (OffsetAt(middle) == offset ? before : after) = middle;
  }
  return after;
}

// Days since the epoch and back, in the proleptic Gregorian calendar.
std::time_t DayNumber(std::time_t time) {
  struct tm local {};
  ::localtime_r(&time, &local);
  local.tm_hour = local.tm_min = local.tm_sec = 0;
  return ::timegm(&local) / 86400;
}

constexpr int kDaysSearched = 3660;

}  // namespace

Result<CronExpression> CronExpression::Parse(const std::string& text) {
  CronExpression out;
  out.text_ = std::string(Trim(text));
  std::string fields_text = out.text_;
  if (fields_text.starts_with('@')) {
    const std::string word = ToLowerAscii(fields_text);
    const auto found = std::find_if(std::begin(kNicknames), std::end(kNicknames),
                                    [&](const auto& nickname) { return word == nickname.first; });
    if (found == std::end(kNicknames)) {
      std::vector<std::string> names;
      for (const auto& nickname : kNicknames) names.emplace_back(nickname.first);
      const auto near = NearestName(word, names);
      return InvalidError("schedule \"" + out.text_ + "\" is no time that is known",
                          near ? "did you mean '" + *near + "'?" : "there are " + Join(names, ", "));
    }
    fields_text = found->second;
  }
  std::replace(fields_text.begin(), fields_text.end(), '\t', ' ');
  std::vector<std::string_view> fields;
  for (const auto field : Split(fields_text, ' ')) {
    if (!field.empty()) fields.push_back(field);
  }
  if (fields.size() != kFields) {
    return InvalidError(
        "schedule \"" + out.text_ + "\" has " + Counted(fields.size(), "field") + " instead of 5", kHint);
  }
  Reader reader(out.text_);
  for (size_t i = 0; i < kFields; ++i) GF_CHECK_OK(reader.Read(i, fields[i], out.sets_[i], out.normal_[i]));
  if (!out.Next(std::time(nullptr))) {
    return InvalidError(
        "schedule \"" + out.text_ + "\" is never due: no such day comes in the next ten years",
        "check the day of month and the month");
  }
  return out;
}

std::string CronExpression::Normal() const { return Join({normal_.begin(), normal_.end()}, " "); }

bool CronExpression::DayMatches(int month, int day, int weekday) const {
  if (!Has(sets_[kMonth], month)) return false;
  const bool by_day = Has(sets_[kDay], day), by_weekday = Has(sets_[kWeekday], weekday);
  const bool any = normal_[kDay].starts_with('*') || normal_[kWeekday].starts_with('*');
  return any ? by_day && by_weekday : by_day || by_weekday;
}

std::vector<std::time_t> CronExpression::TimesOf(int year, int month, int day) const {
  const bool fixed = !normal_[kMinute].starts_with('*') && !normal_[kHour].starts_with('*');
  std::vector<std::time_t> out;
  for (int hour = 0; hour < 24; ++hour) {
    if (!Has(sets_[kHour], hour)) continue;
    for (int minute = 0; minute < 60; ++minute) {
      if (!Has(sets_[kMinute], minute)) continue;
      auto times = Shown(year, month, day, hour, minute);
      if (fixed && times.empty()) times.push_back(EndOfGap(year, month, day, hour, minute));
      if (fixed) times.resize(1);
      out.insert(out.end(), times.begin(), times.end());
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::optional<std::time_t> CronExpression::Next(std::time_t after) const {
  const std::time_t first = DayNumber(after);
  for (std::time_t day = first; day < first + kDaysSearched; ++day) {
    const std::time_t noon = day * 86400 + 43200;
    struct tm date {};
    ::gmtime_r(&noon, &date);
    if (!DayMatches(date.tm_mon + 1, date.tm_mday, date.tm_wday)) continue;
    for (const auto time : TimesOf(date.tm_year + 1900, date.tm_mon + 1, date.tm_mday))
      if (time > after) return time;
  }
  return std::nullopt;
}

std::optional<std::time_t> CronExpression::Previous(std::time_t until) const {
  const std::time_t last = DayNumber(until);
  for (std::time_t day = last; day > last - kDaysSearched; --day) {
    const std::time_t noon = day * 86400 + 43200;
    struct tm date {};
    ::gmtime_r(&noon, &date);
    if (!DayMatches(date.tm_mon + 1, date.tm_mday, date.tm_wday)) continue;
    const auto times = TimesOf(date.tm_year + 1900, date.tm_mon + 1, date.tm_mday);
    for (auto time = times.rbegin(); time != times.rend(); ++time)
      if (*time <= until) return *time;
  }
  return std::nullopt;
}

std::vector<std::string> CronExpression::Calendar() const {
  static const char* const kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  const auto listed = [](uint64_t set, int low, int high) {
    std::vector<std::string> values;
    for (int value = low; value <= high; ++value)
      if (Has(set, value)) values.push_back((value < 10 ? "0" : "") + std::to_string(value));
    return values.size() == static_cast<size_t>(high - low + 1) ? std::string("*") : Join(values, ",");
  };
  std::vector<std::string> days;
  for (int value = 0; value < 7; ++value)
    if (Has(sets_[kWeekday], value)) days.emplace_back(kDays[value]);
  const std::string weekdays = days.size() == 7 ? "" : Join(days, ",") + " ";
  const std::string time = " " + listed(sets_[kHour], 0, 23) + ":" + listed(sets_[kMinute], 0, 59) + ":00";
  const std::string months = "*-" + listed(sets_[kMonth], 1, 12) + "-";
  const std::string monthdays = listed(sets_[kDay], 1, 31);
  const bool both = !normal_[kDay].starts_with('*') && !normal_[kWeekday].starts_with('*');
  if (!both) return {weekdays + months + monthdays + time};
  return {months + monthdays + time, weekdays + months + "*" + time};
}

}  // namespace genflow::cli
