#include "config/expr_values.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "base/strings.h"
#include "config/expr.h"

namespace genflow {

namespace {

using nlohmann::json;

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[40];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

}  // namespace

double ValueToNumber(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (value.is_null()) return 0;
  if (!value.is_string()) return std::numeric_limits<double>::quiet_NaN();
  const std::string_view text = Trim(value.get_ref<const std::string&>());
  if (text.empty()) return 0;
  if (text.starts_with("0x")) {
    int64_t integer = 0;
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), integer, 16);
    if (error == std::errc() && end == text.data() + text.size()) return static_cast<double>(integer);
    return std::numeric_limits<double>::quiet_NaN();
  }
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return std::numeric_limits<double>::quiet_NaN();
  return number;
}

json NumberToValue(double value) {
  if (value == std::floor(value) && std::abs(value) < 9007199254740992.0) return static_cast<int64_t>(value);
  return value;
}

bool EqualValues(const json& a, const json& b) {
  if (a.is_string() && b.is_string()) {
    return ToLowerAscii(a.get_ref<const std::string&>()) == ToLowerAscii(b.get_ref<const std::string&>());
  }
  if (a.is_structured() || b.is_structured()) return a == b;
  if (a.type() == b.type()) return a == b;
  if (a.is_number() && b.is_number()) return a == b;
  return ValueToNumber(a) == ValueToNumber(b);
}

bool CompareValues(std::string_view op, const json& a, const json& b) {
  if (a.is_string() && b.is_string()) {
    const int order =
        ToLowerAscii(a.get_ref<const std::string&>()).compare(ToLowerAscii(b.get_ref<const std::string&>()));
    return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
  }
  const double x = ValueToNumber(a), y = ValueToNumber(b);
  return op == "<" ? x < y : op == "<=" ? x <= y : op == ">" ? x > y : x >= y;
}

const char* DescribeType(const json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "text";
  return value.is_array() ? "a list" : "a mapping";
}

bool IsTruthy(const json& value) {
  if (value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0 && !std::isnan(value.get<double>());
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return true;
}

bool ScalarToText(const json& value, std::string* out) {
  if (value.is_structured()) return false;
  if (value.is_null())
    out->clear();
  else if (value.is_boolean())
    *out = value.get<bool>() ? "true" : "false";
  else if (value.is_string())
    *out = value.get<std::string>();
  else if (value.is_number_integer())
    *out = value.dump();
  else
    *out = FormatNumber(value.get<double>());
  return true;
}

}  // namespace genflow
