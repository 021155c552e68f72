#include "config/expr_functions.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/strings.h"
#include "config/expr_values.h"
#include "config/placeholder.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr size_t kMaxResultBytes = 1u << 20;

const std::vector<std::string>& FunctionNames() {
  static const std::vector<std::string> names = {"contains", "endsWith", "format",     "fromJSON",
                                                 "join",     "length",   "startsWith", "toJSON"};
  return names;
}

// One call. After the first problem the result means nothing.
class FunctionCall {
 public:
  FunctionCall(const Lexeme& function, const std::vector<ExprArgument>& arguments, bool left_out)
      : function_(function), arguments_(arguments), left_out_(left_out) {}

  std::variant<json, ExprProblem> Run() {
    json result = Apply();
    if (result.is_string()) {
      const auto& text = result.get_ref<const std::string&>();
      if (text.size() > kMaxResultBytes)
        Fail(function_, "the text is longer than 1 MiB");
      else if (CountPlaceholders(text) != inserted_)
        Fail(function_, "the text cannot hold '${{'");
    }
    if (problem_) return *std::move(problem_);
    return result;
  }

 private:
  void Fail(const Lexeme& at, std::string message, std::string hint = {}) {
    if (problem_) return;
    problem_ = {at.offset, std::max<size_t>(1, at.length), std::move(message), std::move(hint)};
  }
  // A problem with values, which cannot happen in a side that is left out.
  void FailValue(const Lexeme& at, std::string message, std::string hint = {}) {
    if (!left_out_) Fail(at, std::move(message), std::move(hint));
  }

  const json& Arg(size_t i) const { return arguments_[i].value; }

  bool Known(size_t i) {
    if (!problem_) problem_ = WhyUnknown(arguments_[i].at, arguments_[i].value);
    return !problem_;
  }

  bool Count(size_t least, size_t most) {
    const size_t count = arguments_.size();
    if (count >= least && count <= most) return true;
    std::string range = std::to_string(least);
    if (most == std::string::npos)
      range = "at least " + range;
    else if (most != least)
      range += " or " + std::to_string(most);
    Fail(function_, std::string(function_.text) + "() takes " + range +
                        (range == "1" || range == "at least 1" ? " argument" : " arguments") + ", not " +
                        std::to_string(count));
    return false;
  }

  std::string Text(size_t i) { return Text(i, Arg(i)); }
  // `value` is part of argument `i`.
  std::string Text(size_t i, const json& value) {
    std::string out;
    if (!ScalarToText(value, &out)) {
      FailValue(arguments_[i].at, std::string(DescribeType(value)) + " cannot be part of a text",
                "use toJSON() or join()");
    }
    inserted_ += CountPlaceholders(out);
    return out;
  }

  json Apply() {
    const std::string_view name = function_.text;
    if (name == "contains") {
      if (!Count(2, 2) || !Known(0) || !Known(1)) return nullptr;
      if (Arg(0).is_array()) {
        return std::any_of(Arg(0).begin(), Arg(0).end(),
                           [&](const json& item) { return EqualValues(item, Arg(1)); });
      }
      return ToLowerAscii(Text(0)).find(ToLowerAscii(Text(1))) != std::string::npos;
    }
    if (name == "startsWith" || name == "endsWith") {
      if (!Count(2, 2) || !Known(0) || !Known(1)) return nullptr;
      const std::string text = ToLowerAscii(Text(0)), part = ToLowerAscii(Text(1));
      return name == "startsWith" ? text.starts_with(part) : text.ends_with(part);
    }
    if (name == "format") return Format();
    if (name == "join") {
      if (!Count(1, 2)) return nullptr;
      const std::string separator = arguments_.size() == 2 ? Text(1) : ",";
      if (!Arg(0).is_array()) return Text(0);
      std::string out;
      for (size_t i = 0; i < Arg(0).size() && out.size() <= kMaxResultBytes; ++i) {
        if (i > 0) out += separator;
        out += Text(0, Arg(0)[i]);
      }
      return out;
    }
    if (name == "toJSON") {
      if (!Count(1, 1) || !Known(0)) return nullptr;
      return Arg(0).dump(2, ' ', false, json::error_handler_t::replace);
    }
    if (name == "fromJSON") {
      if (!Count(1, 1) || !Known(0)) return nullptr;
      const std::string text = Text(0);
      json value = json::parse(text, nullptr, false);
      if (value.is_discarded()) {
        FailValue(arguments_[0].at, "not valid JSON: '" + text.substr(0, 60) + "'");
        return nullptr;
      }
      if (HasPlaceholder(value.dump(-1, ' ', false, json::error_handler_t::replace))) {
        FailValue(arguments_[0].at, "the value cannot hold '${{'");
        return nullptr;
      }
      return value;
    }
    if (name == "length") {
      if (!Count(1, 1) || !Known(0)) return nullptr;
      if (Arg(0).is_structured()) return static_cast<int64_t>(Arg(0).size());
      return static_cast<int64_t>(Text(0).size());
    }
    std::vector<std::string> names = FunctionNames();
    names.insert(names.end(), {"success", "failure", "always", "cancelled"});
    const auto near = NearestName(name, names);
    Fail(function_, "unknown function '" + std::string(name) + "'",
         near ? "did you mean '" + *near + "'?" : "known functions: " + Join(FunctionNames(), ", "));
    return nullptr;
  }

  json Format() {
    if (!Count(1, std::string::npos) || !Known(0)) return nullptr;
    const std::string pattern = Text(0);
    std::string out;
    for (size_t i = 0; i < pattern.size() && out.size() <= kMaxResultBytes; ++i) {
      const char c = pattern[i];
      if ((c == '{' || c == '}') && i + 1 < pattern.size() && pattern[i + 1] == c) {
        out += c;
        ++i;
      } else if (c == '{') {
        const size_t close = pattern.find('}', i);
        size_t index = 0;
        const char* first = pattern.data() + i + 1;
        const char* last = pattern.data() + std::min(close, pattern.size());
        const auto [end, error] = std::from_chars(first, last, index);
        if (close == std::string::npos || error != std::errc() || end != last) {
          FailValue(arguments_[0].at, "'{' in a format is followed by a number and '}'",
                    "write '{{' for a brace");
          return nullptr;
        }
        if (index + 1 >= arguments_.size()) {
          FailValue(arguments_[0].at, "the format uses {" + std::to_string(index) + "}, but has " +
                                          std::to_string(arguments_.size() - 1) +
                                          (arguments_.size() == 2 ? " value" : " values"));
          return nullptr;
        }
        out += Text(index + 1);
        i = close;
      } else if (c == '}') {
        FailValue(arguments_[0].at, "'}' in a format is written '}}'");
        return nullptr;
      } else {
        out += c;
      }
    }
    return out;
  }

  const Lexeme& function_;
  const std::vector<ExprArgument>& arguments_;
  const bool left_out_;
  size_t inserted_ = 0;  // placeholders in the texts that the function was given
  std::optional<ExprProblem> problem_;
};

}  // namespace

std::optional<ExprProblem> WhyUnknown(const Lexeme& at, const json& value) {
  if (!value.is_string() || !HasPlaceholder(value.get_ref<const std::string&>())) return std::nullopt;
  const bool secret = value.get_ref<const std::string&>().find("${{ secrets.") != std::string::npos;
  return ExprProblem{at.offset, std::max<size_t>(1, at.length),
                     secret ? "a secret cannot be compared or taken apart"
                            : "the path of an output is only known during the run",
                     "it can be used as it is, or inside format() and join()"};
}

std::variant<json, ExprProblem> CallFunction(const Lexeme& function,
                                             const std::vector<ExprArgument>& arguments, bool left_out) {
  return FunctionCall(function, arguments, left_out).Run();
}

std::optional<ExprProblem> WhyNoOutcome(const Lexeme& at, const json& value) {
  static const std::vector<std::string> words = {"success", "failure", "cancelled", "skipped"};
  static const std::map<std::string, std::string> others = {
      {"failed", "failure"}, {"error", "failure"}, {"gated", "failure"},  {"ok", "success"},
      {"ran", "success"},    {"done", "success"},  {"cached", "success"}, {"interrupted", "cancelled"}};
  if (at.kind != Token::kText || !value.is_string()) return std::nullopt;
  const auto& word = value.get_ref<const std::string&>();
  if (std::any_of(words.begin(), words.end(), [&](const auto& one) { return EqualValues(one, word); }))
    return std::nullopt;
  const auto other = others.find(word);
  const auto near = other != others.end() ? std::optional(other->second) : NearestName(word, words);
  return ExprProblem{at.offset, at.length,
                     "an outcome is 'success', 'failure', 'cancelled' or 'skipped', never '" + word + "'",
                     near ? "did you mean '" + *near + "'?" : ""};
}

}  // namespace genflow
