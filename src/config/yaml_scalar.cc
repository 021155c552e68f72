// Plain scalars by YAML 1.2's core schema.
#include <charconv>
#include <limits>

#include "config/yaml_tree.h"

namespace genflow {

namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool ParseCoreInt(std::string_view text, int64_t* out) {
  std::string_view digits = text;
  int base = 10;
  bool negative = false;
  if (digits.starts_with("0x")) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.starts_with("0o")) {
    base = 8;
    digits.remove_prefix(2);
  } else if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
    negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  if (digits.empty() || digits[0] == '-' || digits[0] == '+') return false;
  const std::string signed_text = (negative ? "-" : "") + std::string(digits);
  const auto [end, error] =
      std::from_chars(signed_text.data(), signed_text.data() + signed_text.size(), *out, base);
  return error == std::errc() && end == signed_text.data() + signed_text.size();
}

bool ParseCoreFloat(std::string_view text, double* out) {
  std::string_view body = text;
  if (!body.empty() && (body[0] == '+' || body[0] == '-')) body.remove_prefix(1);
  const double sign = text.starts_with('-') ? -1 : 1;
  if (body == ".inf" || body == ".Inf" || body == ".INF") {
    *out = sign * std::numeric_limits<double>::infinity();
    return true;
  }
  if (text == ".nan" || text == ".NaN" || text == ".NAN") {
    *out = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  if (body.empty() || !(IsDigit(body[0]) || (body[0] == '.' && body.size() > 1 && IsDigit(body[1]))))
    return false;
  for (char c : body) {
    if (!IsDigit(c) && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-') return false;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
  if (end != body.data() + body.size()) return false;
  if (error == std::errc::result_out_of_range) value = std::numeric_limits<double>::infinity();
  *out = sign * value;
  return true;
}

}  // namespace

void ResolvePlainScalar(std::string_view text, YamlNode* node) {
  node->text = text;
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    node->kind = YamlNode::Kind::kNull;
  } else if (text == "true" || text == "True" || text == "TRUE" || text == "false" || text == "False" ||
             text == "FALSE") {
    node->kind = YamlNode::Kind::kBool;
    node->boolean = text[0] == 't' || text[0] == 'T';
  } else if (ParseCoreInt(text, &node->integer)) {
    node->kind = YamlNode::Kind::kInt;
    node->number = static_cast<double>(node->integer);
  } else if (ParseCoreFloat(text, &node->number)) {
    node->kind = YamlNode::Kind::kFloat;
  } else {
    node->kind = YamlNode::Kind::kString;
  }
}

}  // namespace genflow
