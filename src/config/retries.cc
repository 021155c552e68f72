// `retries:`, and the numbers and durations that settings are written in.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"
#include "config/load_state.h"

namespace genflow {

namespace {

constexpr int64_t kMaxRetries = 100;
constexpr double kMaxFactor = 100;

const std::vector<std::string> kRetryKeys = {"max", "backoff", "factor", "jitter", "on"};
const std::vector<std::string> kRetryCauses = {"crash", "timeout", "memory", "error", "exit", "exit:CODE"};

void ReadCount(Scope& scope, const YamlNode& at, std::string_view what, int* out) {
  const YamlNode* value = scope.Resolve(at);
  if (value == nullptr) return;
  const auto number = value->is_scalar() ? WholeNumber(value->text) : std::nullopt;
  if (!number || *number < 0 || *number > kMaxRetries) {
    scope.state().Error(at, std::string(what) + ": expected an integer between 0 and " +
                                std::to_string(kMaxRetries) + ", got " + DescribeValue(*value));
    return;
  }
  *out = static_cast<int>(*number);
}

void ReadNumber(Scope& scope, const YamlNode& at, std::string_view what, double min, double max,
                double* out) {
  const YamlNode* value = scope.Resolve(at);
  if (value == nullptr) return;
  YamlNode typed;
  if (value->is_scalar()) ResolvePlainScalar(value->text, &typed);
  const bool number = typed.kind == YamlNode::Kind::kInt || typed.kind == YamlNode::Kind::kFloat;
  if (!number || !(typed.number >= min && typed.number <= max)) {
    const auto show = [](double bound) { return std::to_string(static_cast<int>(bound)); };
    scope.state().Error(at, std::string(what) + ": expected a number between " + show(min) + " and " +
                                show(max) + ", got " + DescribeValue(*value));
    return;
  }
  *out = typed.number;
}

void ReadCauses(Scope& scope, const YamlNode& at, std::vector<std::string>* out) {
  const YamlNode* list = scope.Resolve(at);
  if (list == nullptr) return;
  out->clear();
  if (list->kind == YamlNode::Kind::kList && list->items.empty())
    scope.state().Error(at, "retries.on: the list is empty", "without `on` every failure is tried again");
  const bool many = list->kind == YamlNode::Kind::kList;
  for (const YamlNode* item : many ? list->items : std::vector<const YamlNode*>{list}) {
    const YamlNode* value = scope.Resolve(*item);
    if (value == nullptr) continue;
    const std::string text = value->is_scalar() ? value->text : "";
    const auto code = text.starts_with("exit:") ? WholeNumber(text.substr(5)) : std::nullopt;
    const bool known = text != "exit:CODE" &&
                       std::find(kRetryCauses.begin(), kRetryCauses.end(), text) != kRetryCauses.end();
    if (known || (code && *code >= 1 && *code <= 255)) {
      out->push_back(text);
      continue;
    }
    const auto bare = WholeNumber(text);
    const bool is_code = bare && *bare >= 1 && *bare <= 255;
    scope.state().Error(*item,
                        "retries.on: expected " + Join(kRetryCauses, ", ") + ", got " + DescribeValue(*value),
                        text.starts_with("exit:") ? "a code is a number from 1 to 255"
                        : is_code                 ? "did you mean 'exit:" + text + "'?"
                                                  : scope.state().DidYouMean(text, kRetryCauses));
  }
}

}  // namespace

std::optional<int64_t> WholeNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string DurationHint(const YamlNode& node) {
  for (const char* unit : {"h", "m", "s", "ms"}) {
    const std::string whole = node.text + unit;
    if (node.is_scalar() && node.text.find_first_of("dhms") != std::string::npos && ParseDuration(whole))
      return "did you mean '" + whole + "'?";
  }
  return {};
}

std::optional<double> ReadDuration(Scope& scope, const YamlNode& node, std::string_view what,
                                   bool zero_is_fine) {
  const YamlNode* value = scope.Resolve(node);
  if (value == nullptr) return std::nullopt;
  std::optional<double> seconds;
  if (value->is_scalar() && value->kind != YamlNode::Kind::kBool) seconds = ParseDuration(value->text);
  if (!seconds || !std::isfinite(*seconds) || *seconds < 0 || (*seconds == 0 && !zero_is_fine)) {
    scope.state().Error(
        node, std::string(what) + ": expected a duration such as 90s or 1h30m, got " + DescribeValue(*value),
        DurationHint(*value));
    return std::nullopt;
  }
  return seconds;
}

void ReadRetries(Scope& scope, const YamlNode& node, StageDefaults* out) {
  LoadState& state = scope.state();
  if (node.kind != YamlNode::Kind::kMap) return ReadCount(scope, node, "retries", &out->retries);
  state.CheckKeys(node, "retries", kRetryKeys);
  if (const YamlNode* max = node.Find("max"); max != nullptr)
    ReadCount(scope, *max, "retries.max", &out->retries);
  else if (!state.IsMisspelt(node, "max", kRetryKeys))
    state.Error(node, "retries needs the key 'max'", "for example retries: { max: 2, backoff: 10s }");
  if (const YamlNode* wait = node.Find("backoff"); wait != nullptr) {
    if (const auto seconds = ReadDuration(scope, *wait, "retries.backoff", true))
      out->retry_backoff = *seconds;
  }
  if (const YamlNode* at = node.Find("factor"); at != nullptr)
    ReadNumber(scope, *at, "retries.factor", 1, kMaxFactor, &out->retry_factor);
  if (const YamlNode* at = node.Find("jitter"); at != nullptr)
    ReadNumber(scope, *at, "retries.jitter", 0, 1, &out->retry_jitter);
  if (const YamlNode* at = node.Find("on"); at != nullptr) ReadCauses(scope, *at, &out->retry_on);
}

}  // namespace genflow
