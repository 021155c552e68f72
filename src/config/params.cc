#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"
#include "config/load_state.h"
#include "config/placeholder.h"

namespace genflow {

namespace {

using nlohmann::json;

const char* Expected(ParamType type) {
  switch (type) {
    case ParamType::kBool:
      return "true or false";
    case ParamType::kInt:
      return "an integer";
    case ParamType::kFloat:
      return "a number";
    case ParamType::kString:
      return "text";
    case ParamType::kEnum:
      return "one of its choices";
    case ParamType::kPath:
      return "a path";
    case ParamType::kFiles:
      return "a file pattern or a list of them";
    case ParamType::kStringList:
      return "a list of texts";
    case ParamType::kSize:
      return "a size such as 512M or 8G";
    case ParamType::kDuration:
      return "a duration such as 90s or 1h30m";
    case ParamType::kJson:
      return "a value";
  }
  return "a value";
}

std::string ShowNumber(double value, ParamType type) {
  if (type == ParamType::kSize) return HumanBytes(static_cast<uint64_t>(std::max(0.0, value)));
  if (type == ParamType::kDuration) return HumanDuration(value);
  char buffer[40];
  const auto end = value == std::floor(value) && std::abs(value) < 1e15
                       ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<int64_t>(value)).ptr
                       : std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

// A finite number: as typed, or text that reads as one.
std::optional<double> NumberOf(const YamlNode& node) {
  YamlNode typed = node;
  if (node.kind == YamlNode::Kind::kString) ResolvePlainScalar(std::string(Trim(node.text)), &typed);
  if (typed.kind != YamlNode::Kind::kInt && typed.kind != YamlNode::Kind::kFloat) return std::nullopt;
  if (!std::isfinite(typed.number)) return std::nullopt;
  return typed.number;
}

std::optional<int64_t> IntegerOf(const YamlNode& node) {
  YamlNode typed = node;
  if (node.kind == YamlNode::Kind::kString) ResolvePlainScalar(std::string(Trim(node.text)), &typed);
  if (typed.kind == YamlNode::Kind::kInt) return typed.integer;
  const auto number = NumberOf(typed);
  if (!number || *number != std::floor(*number) || std::abs(*number) > 9007199254740992.0)
    return std::nullopt;
  return static_cast<int64_t>(*number);
}

bool WithinRange(Scope& scope, const YamlNode& at, const ParamInfo& param, const std::string& name,
                 double value) {
  if (!param.min || !param.max || (value >= *param.min && value <= *param.max)) return true;
  constexpr double kHuge = 1e15;
  std::string range =
      "between " + ShowNumber(*param.min, param.type) + " and " + ShowNumber(*param.max, param.type);
  if (*param.max >= kHuge)
    range = "of at least " + ShowNumber(*param.min, param.type);
  else if (*param.min <= -kHuge)
    range = "of at most " + ShowNumber(*param.max, param.type);
  scope.state().Error(at, "with." + name + ": expected " +
                              std::string(param.type == ParamType::kInt     ? "an integer "
                                          : param.type == ParamType::kFloat ? "a number "
                                          : param.type == ParamType::kSize  ? "a size "
                                                                            : "a duration ") +
                              range + ", got " + DescribeValue(at));
  return false;
}

bool HoldsSecret(const std::string& text) {
  const auto all = FindPlaceholders(json(text));
  return std::any_of(all.begin(), all.end(),
                     [](const Placeholder& p) { return p.kind == Placeholder::Kind::kSecret; });
}

bool CoerceTexts(Scope& scope, const YamlNode& node, const ParamInfo& param, const std::string& name,
                 StageSpec* stage, json* out) {
  *out = json::array();
  std::vector<const YamlNode*> items;
  if (node.kind == YamlNode::Kind::kList)
    items = node.items;
  else
    items.push_back(&node);
  bool fine = true;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::string item_name = name + "[" + std::to_string(i) + "]";
    const YamlNode* item = scope.Resolve(*items[i]);
    if (item == nullptr) {
      fine = false;
      continue;
    }
    if (!item->is_scalar() || item->kind == YamlNode::Kind::kNull ||
        (param.type == ParamType::kFiles && item->text.empty())) {
      scope.state().Error(
          *items[i], "with." + item_name + ": expected " +
                         std::string(param.type == ParamType::kFiles ? "a file pattern" : "text") + ", got " +
                         DescribeValue(*item));
      fine = false;
      continue;
    }
    if (param.type == ParamType::kFiles && HoldsSecret(item->text)) {
      scope.state().Error(*items[i], "with." + item_name + ": secrets cannot be used in file patterns");
      fine = false;
      continue;
    }
    stage->with_positions[item_name] = scope.state().PositionOf(*items[i]);
    out->push_back(item->text);
  }
  return fine;
}

}  // namespace

bool CoerceParam(Scope& scope, const YamlNode& written, const ParamInfo& param, const std::string& name,
                 StageSpec* stage, json* out, bool* absent) {
  LoadState& state = scope.state();
  if (param.type == ParamType::kJson) return scope.ToJson(written, out);
  const YamlNode* value = scope.Resolve(written);
  if (value == nullptr) return false;
  const YamlNode& node = *value;
  auto refuse = [&](std::string hint = {}) {
    state.Error(written,
                "with." + name + ": expected " + Expected(param.type) + ", got " + DescribeValue(node),
                std::move(hint));
    return false;
  };
  if (node.kind == YamlNode::Kind::kNull) {
    if (!node.from_source && !param.required) {
      *absent = true;
      return true;
    }
    return refuse(param.default_value ? "remove the key to take the default, " + param.default_value->dump()
                                      : "");
  }
  if (param.secret) {
    if (!node.is_scalar()) return refuse();
    if (!state.options.secrets_in_clear && node.text.find("${{ secrets.") == std::string::npos) {
      // The line is not shown: what stands there may be the secret.
      Diagnostic d = state.source->Report(
          state.PositionOf(written), "with." + name + " is a secret, and cannot stand in a pipeline file",
          "write ${{ secrets.NAME }} and set the environment variable GENFLOW_SECRET_NAME");
      d.source_line.clear();
      state.diagnostics.push_back(std::move(d));
      return false;
    }
  }
  switch (param.type) {
    case ParamType::kBool: {
      YamlNode typed = node;
      if (node.kind == YamlNode::Kind::kString) ResolvePlainScalar(node.text, &typed);
      if (typed.kind != YamlNode::Kind::kBool) {
        const std::string lower = ToLowerAscii(node.text);
        const bool yes = lower == "yes" || lower == "on" || lower == "1",
                   no = lower == "no" || lower == "off" || lower == "0";
        return refuse(yes ? "did you mean 'true'?" : no ? "did you mean 'false'?" : "");
      }
      *out = typed.boolean;
      return true;
    }
    case ParamType::kInt: {
      const auto integer = node.is_scalar() ? IntegerOf(node) : std::nullopt;
      if (!integer) return refuse();
      *out = *integer;
      return WithinRange(scope, node, param, name, static_cast<double>(*integer));
    }
    case ParamType::kFloat: {
      const auto number = node.is_scalar() ? NumberOf(node) : std::nullopt;
      if (!number) return refuse();
      *out = *number;
      return WithinRange(scope, node, param, name, *number);
    }
    case ParamType::kString:
      if (!node.is_scalar()) return refuse();
      *out = node.text;
      return true;
    case ParamType::kPath:
      if (!node.is_scalar() || node.text.empty()) return refuse();
      *out = node.text;
      return true;
    case ParamType::kEnum:
      if (!node.is_scalar() ||
          std::find(param.choices.begin(), param.choices.end(), node.text) == param.choices.end()) {
        state.Error(written,
                    "with." + name + ": expected one of " + Join(param.choices, ", ") + ", got " +
                        DescribeValue(node),
                    node.is_scalar() ? state.DidYouMean(node.text, param.choices) : "");
        return false;
      }
      *out = node.text;
      return true;
    case ParamType::kFiles:
    case ParamType::kStringList:
      if (node.kind == YamlNode::Kind::kMap) return refuse();
      return CoerceTexts(scope, node, param, name, stage, out);
    case ParamType::kSize: {
      const auto bytes =
          node.is_scalar() && node.kind != YamlNode::Kind::kBool ? ParseBytes(node.text) : std::nullopt;
      if (!bytes || *bytes > static_cast<uint64_t>(INT64_MAX)) return refuse();
      *out = static_cast<int64_t>(*bytes);
      return WithinRange(scope, node, param, name, static_cast<double>(*bytes));
    }
    case ParamType::kDuration: {
      const auto seconds =
          node.is_scalar() && node.kind != YamlNode::Kind::kBool ? ParseDuration(node.text) : std::nullopt;
      if (!seconds || !std::isfinite(*seconds) || *seconds < 0) return refuse(DurationHint(node));
      *out = *seconds;
      return WithinRange(scope, node, param, name, *seconds);
    }
    case ParamType::kJson:
      break;
  }
  return false;
}

}  // namespace genflow
