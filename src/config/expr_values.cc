#include "config/expr_values.h"

#include <algorithm>
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

NameValue RefusedHere(const std::string& what) { return NameValue::Refused(what + " cannot be used here"); }

}  // namespace

NameValue NameValue::Found(nlohmann::json value) {
  NameValue out;
  out.value = std::move(value);
  return out;
}

NameValue NameValue::Unknown() {
  NameValue out;
  out.state = State::kUnknown;
  return out;
}

NameValue NameValue::Refused(std::string message, std::string hint) {
  NameValue out;
  out.state = State::kRefused;
  out.message = std::move(message);
  out.hint = std::move(hint);
  return out;
}

NameValue ExprNames::Matrix(const std::string&) { return RefusedHere("values of a matrix"); }
NameValue ExprNames::StageOutcome(const std::string&) { return RefusedHere("outcomes of stages"); }
NameValue ExprNames::StageMetric(const std::string&, const std::string&) {
  return RefusedHere("metrics of stages");
}
NameValue ExprNames::Status(const std::string& function) { return RefusedHere(function + "()"); }

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

std::variant<json, ExprProblem> Calculate(const Lexeme& op, const json& a, const json& b) {
  const auto problem = [&](std::string message, std::string hint = {}) {
    return ExprProblem{op.offset, std::max<size_t>(1, op.length), std::move(message), std::move(hint)};
  };
  for (const json* side : {&a, &b}) {
    if (side->is_structured() || std::isnan(ValueToNumber(*side))) {
      return problem("'" + std::string(op.text) + "' takes numbers, not " + DescribeType(*side),
                     op.text == "+" && side->is_string() ? "join text with format('{0}{1}', a, b)" : "");
    }
  }
  if (a.is_number_integer() && b.is_number_integer()) {
    const auto x = a.get<int64_t>(), y = b.get<int64_t>();
    int64_t exact = 0;
    if (op.text == "+" && !__builtin_add_overflow(x, y, &exact)) return json(exact);
    if (op.text == "-" && !__builtin_sub_overflow(x, y, &exact)) return json(exact);
    if (op.text == "*" && !__builtin_mul_overflow(x, y, &exact)) return json(exact);
  }
  const double x = ValueToNumber(a), y = ValueToNumber(b);
  if ((op.text == "/" || op.text == "%") && y == 0) return problem("division by zero");
  const double result = op.text == "+"   ? x + y
                        : op.text == "-" ? x - y
                        : op.text == "*" ? x * y
                        : op.text == "/" ? x / y
                                         : std::fmod(x, y);
  if (!std::isfinite(result)) return problem("the result is not a finite number");
  return NumberToValue(result);
}

std::variant<json, ExprProblem> LookInto(const json& value, const Lexeme& key, std::string_view shown) {
  const auto problem = [&](std::string message, std::string hint = {}) {
    return ExprProblem{key.offset, std::max<size_t>(1, key.length), std::move(message), std::move(hint)};
  };
  if (value.is_object() && key.value.is_string()) {
    const auto& name = key.value.get_ref<const std::string&>();
    if (const auto found = value.find(name); found != value.end()) return json(*found);
    std::vector<std::string> names;
    for (const auto& [other, unused] : value.items()) names.push_back(other);
    const auto near = NearestName(name, names);
    return problem("'" + std::string(shown) + "' has no entry '" + name + "'",
                   near ? "did you mean '" + *near + "'?" : "");
  }
  if (value.is_array() && key.value.is_number_integer()) {
    const auto index = key.value.get<int64_t>();
    const auto size = static_cast<int64_t>(value.size());
    if (index >= 0 && index < size) return json(value[static_cast<size_t>(index)]);
    return problem("index " + std::to_string(index) + " is outside the list of " + std::to_string(size));
  }
  return problem(std::string("cannot look into ") + DescribeType(value) + " with " +
                 (key.value.is_string() ? "a name" : "an index"));
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
