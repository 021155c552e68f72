#include "config/expr.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "base/strings.h"
#include "config/placeholder.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr size_t kMaxResultBytes = 1u << 20;
constexpr int kMaxNesting = 100;

enum class Token { kEnd, kName, kNumber, kText, kSymbol };

struct Lexeme {
  Token kind = Token::kEnd;
  size_t offset = 0, length = 0;
  std::string_view text;  // as written
  json value;             // kNumber, kText
};

bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNameChar(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char buffer[40];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

// A number's JSON, an integer where it is one exactly.
json NumberToJson(double value) {
  if (value == std::floor(value) && std::abs(value) < 9007199254740992.0) return static_cast<int64_t>(value);
  return value;
}

// As GitHub Actions: '' and null are 0, text that is no number and containers are NaN.
double ToNumber(const json& value) {
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
  if (error != std::errc() || end != text.data() + text.size()) return std::numeric_limits<double>::quiet_NaN();
  return number;
}

bool Equal(const json& a, const json& b) {
  if (a.is_string() && b.is_string()) {
    return ToLowerAscii(a.get_ref<const std::string&>()) == ToLowerAscii(b.get_ref<const std::string&>());
  }
  if (a.is_structured() || b.is_structured()) return a == b;
  if (a.type() == b.type()) return a == b;
  if (a.is_number() && b.is_number()) return a == b;
  return ToNumber(a) == ToNumber(b);
}

const char* Describe(const json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "text";
  return value.is_array() ? "a list" : "a mapping";
}

const std::vector<std::string>& FunctionNames() {
  static const std::vector<std::string> names = {"contains", "endsWith", "format",     "fromJSON",
                                                 "join",     "length",   "startsWith", "toJSON"};
  return names;
}

// Recursive descent that evaluates as it reads. After the first problem everything returns at once.
class Evaluator {
 public:
  Evaluator(std::string_view text, ExprNames& names) : text_(text), names_(names) {}

  std::variant<ExprValue, ExprProblem> Run() {
    Next();
    if (!failed_ && at_.kind == Token::kEnd) Fail(0, std::max<size_t>(1, text_.size()), "the expression is empty");
    ExprValue out = Or();
    if (!failed_ && at_.kind != Token::kEnd) {
      Fail(at_, "unexpected '" + std::string(at_.text) + "' after the expression",
           at_.kind == Token::kSymbol && at_.text == "=" ? "compare with '=='" : "");
    }
    if (failed_) return problem_;
    return out;
  }

 private:
  void Fail(size_t offset, size_t length, std::string message, std::string hint = {}) {
    if (failed_) return;
    failed_ = true;
    problem_ = {offset, std::max<size_t>(1, length), std::move(message), std::move(hint)};
    at_ = {};
  }
  void Fail(const Lexeme& at, std::string message, std::string hint = {}) {
    Fail(at.offset, at.length, std::move(message), std::move(hint));
  }
  // A problem with values, which cannot happen in a side that is left out.
  void FailValue(const Lexeme& at, std::string message, std::string hint = {}) {
    if (dead_ == 0) Fail(at, std::move(message), std::move(hint));
  }

  void Next() {
    if (failed_) return;
    size_t i = next_;
    while (i < text_.size() && std::isspace(static_cast<unsigned char>(text_[i]))) ++i;
    const size_t start = i;
    auto take = [&](Token kind) {
      at_ = {kind, start, i - start, text_.substr(start, i - start), nullptr};
      next_ = i;
    };
    if (i == text_.size()) return take(Token::kEnd);
    const char c = text_[i];
    if (IsNameStart(c)) {
      while (i < text_.size() && IsNameChar(text_[i])) ++i;
      return take(Token::kName);
    }
    const bool digit = std::isdigit(static_cast<unsigned char>(c));
    const bool fraction = c == '.' && i + 1 < text_.size() && std::isdigit(static_cast<unsigned char>(text_[i + 1])) &&
                          at_.kind != Token::kName && !(at_.kind == Token::kSymbol && at_.text == "]");
    if (digit || fraction) return Number(i);
    if (c == '\'') {
      std::string value;
      for (++i; i < text_.size(); ++i) {
        if (text_[i] != '\'') value += text_[i];
        else if (i + 1 < text_.size() && text_[i + 1] == '\'') value += text_[i++];
        else break;
      }
      if (i == text_.size()) return Fail(start, text_.size() - start, "the text is not closed by '", {});
      ++i;
      take(Token::kText);
      if (HasPlaceholder(value)) return Fail(at_, "text in an expression cannot hold '${{'");
      at_.value = std::move(value);
      return;
    }
    if (c == '"') return Fail(start, 1, "text stands in single quotes", "write 'text'");
    for (std::string_view two : {"==", "!=", "<=", ">=", "&&", "||"}) {
      if (text_.substr(i, 2) == two) {
        i += 2;
        return take(Token::kSymbol);
      }
    }
    if (std::string_view("()[].,!<>+-*/%=").find(c) != std::string_view::npos) {
      ++i;
      return take(Token::kSymbol);
    }
    while (++i < text_.size() && (static_cast<unsigned char>(text_[i]) & 0xC0) == 0x80) {
    }
    Fail(start, i - start, "unexpected '" + std::string(text_.substr(start, i - start)) + "'");
  }

  void Number(size_t start) {
    size_t i = start;
    while (i < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[i])) || text_[i] == '.' ||
                                ((text_[i] == '+' || text_[i] == '-') && (text_[i - 1] == 'e' || text_[i - 1] == 'E')))) {
      ++i;
    }
    const std::string_view written = text_.substr(start, i - start);
    at_ = {Token::kNumber, start, i - start, written, nullptr};
    next_ = i;
    int64_t integer = 0;
    const bool hex = written.starts_with("0x");
    const char* first = written.data() + (hex ? 2 : 0);
    const char* last = written.data() + written.size();
    if (auto [end, error] = std::from_chars(first, last, integer, hex ? 16 : 10); error == std::errc() && end == last) {
      at_.value = integer;
      return;
    }
    double number = 0;
    if (auto [end, error] = std::from_chars(first, last, number); !hex && error == std::errc() && end == last) {
      at_.value = number;
      return;
    }
    Fail(at_, "'" + std::string(written) + "' is not a number");
  }

  bool IsSymbol(std::string_view symbol) const { return at_.kind == Token::kSymbol && at_.text == symbol; }

  bool Expect(std::string_view symbol, const char* what) {
    if (IsSymbol(symbol)) {
      Next();
      return !failed_;
    }
    Fail(at_.offset, at_.length, "expected '" + std::string(symbol) + "' " + what);
    return false;
  }

  ExprValue Or() {
    ExprValue left = And();
    while (!failed_ && IsSymbol("||")) {
      Next();
      const bool keep = IsTruthy(left.value);
      dead_ += keep ? 1 : 0;
      ExprValue right = And();
      dead_ -= keep ? 1 : 0;
      if (!keep) left = std::move(right);
    }
    return left;
  }

  ExprValue And() {
    ExprValue left = Equality();
    while (!failed_ && IsSymbol("&&")) {
      Next();
      const bool keep = !IsTruthy(left.value);
      dead_ += keep ? 1 : 0;
      ExprValue right = Equality();
      dead_ -= keep ? 1 : 0;
      if (!keep) left = std::move(right);
    }
    return left;
  }

  ExprValue Equality() {
    ExprValue left = Order();
    while (!failed_ && (IsSymbol("==") || IsSymbol("!="))) {
      const Lexeme op = at_;
      Next();
      const ExprValue right = Order();
      if (failed_ || !Known(op, left.value) || !Known(op, right.value)) return {};
      left = {Equal(left.value, right.value) == (op.text == "=="), {}};
    }
    return left;
  }

  ExprValue Order() {
    ExprValue left = Sum();
    while (!failed_ && (IsSymbol("<") || IsSymbol("<=") || IsSymbol(">") || IsSymbol(">="))) {
      const Lexeme op = at_;
      Next();
      const ExprValue right = Sum();
      if (failed_ || !Known(op, left.value) || !Known(op, right.value)) return {};
      left = {Compare(op.text, left.value, right.value), {}};
    }
    return left;
  }

  static bool Compare(std::string_view op, const json& a, const json& b) {
    if (a.is_string() && b.is_string()) {
      const int order = ToLowerAscii(a.get_ref<const std::string&>()).compare(ToLowerAscii(b.get_ref<const std::string&>()));
      return op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
    }
    const double x = ToNumber(a), y = ToNumber(b);
    return op == "<" ? x < y : op == "<=" ? x <= y : op == ">" ? x > y : x >= y;
  }

  ExprValue Sum() {
    ExprValue left = Product();
    while (!failed_ && (IsSymbol("+") || IsSymbol("-"))) {
      const Lexeme op = at_;
      Next();
      const ExprValue right = Product();
      if (failed_) return {};
      left = {Arithmetic(op, left.value, right.value), {}};
    }
    return left;
  }

  ExprValue Product() {
    ExprValue left = Unary();
    while (!failed_ && (IsSymbol("*") || IsSymbol("/") || IsSymbol("%"))) {
      const Lexeme op = at_;
      Next();
      const ExprValue right = Unary();
      if (failed_) return {};
      left = {Arithmetic(op, left.value, right.value), {}};
    }
    return left;
  }

  json Arithmetic(const Lexeme& op, const json& a, const json& b) {
    for (const json* side : {&a, &b}) {
      if (!Known(op, *side)) return nullptr;
      if (side->is_structured() || std::isnan(ToNumber(*side))) {
        FailValue(op, "'" + std::string(op.text) + "' takes numbers, not " + Describe(*side),
                  op.text == "+" && side->is_string() ? "join text with format('{0}{1}', a, b)" : "");
        return nullptr;
      }
    }
    if (a.is_number_integer() && b.is_number_integer()) {
      const auto x = a.get<int64_t>(), y = b.get<int64_t>();
      int64_t exact = 0;
      if (op.text == "+" && !__builtin_add_overflow(x, y, &exact)) return exact;
      if (op.text == "-" && !__builtin_sub_overflow(x, y, &exact)) return exact;
      if (op.text == "*" && !__builtin_mul_overflow(x, y, &exact)) return exact;
    }
    const double x = ToNumber(a), y = ToNumber(b);
    if ((op.text == "/" || op.text == "%") && y == 0) {
      FailValue(op, "division by zero");
      return nullptr;
    }
    const double result = op.text == "+" ? x + y : op.text == "-" ? x - y : op.text == "*" ? x * y
                          : op.text == "/" ? x / y : std::fmod(x, y);
    if (!std::isfinite(result)) {
      FailValue(op, "the result is not a finite number");
      return nullptr;
    }
    return NumberToJson(result);
  }

  ExprValue Unary() {
    if (failed_ || ++nesting_ > kMaxNesting) {
      Fail(at_, "the expression is nested too deeply");
      return {};
    }
    ExprValue out;
    if (IsSymbol("!")) {
      Next();
      const Lexeme operand = at_;
      const ExprValue value = Unary();
      if (Known(operand, value.value)) out = {!IsTruthy(value.value), {}};
    } else if (IsSymbol("-")) {
      const Lexeme op = at_;
      Next();
      const ExprValue value = Unary();
      if (!failed_) out = {Arithmetic(op, 0, value.value), {}};
    } else {
      out = Postfix();
    }
    --nesting_;
    return out;
  }

  // A value, then .name and [index] into lists and mappings.
  ExprValue Postfix() {
    const Lexeme start = at_;
    ExprValue value = Primary();
    while (!failed_ && (IsSymbol(".") || IsSymbol("["))) {
      Lexeme key;
      if (!Subscript(&key)) return {};
      if (dead_ > 0) continue;
      if (value.value.is_object() && key.value.is_string()) {
        const auto& name = key.value.get_ref<const std::string&>();
        const auto found = value.value.find(name);
        if (found == value.value.end()) {
          std::vector<std::string> names;
          for (const auto& [other, unused] : value.value.items()) names.push_back(other);
          const auto near = NearestName(name, names);
          Fail(key, "'" + std::string(text_.substr(start.offset, key.offset - start.offset - 1)) + "' has no entry '" + name + "'",
               near ? "did you mean '" + *near + "'?" : "");
          return {};
        }
        json inner = *found;
        value = {std::move(inner), {}};
      } else if (value.value.is_array() && key.value.is_number_integer()) {
        const auto index = key.value.get<int64_t>();
        const auto size = static_cast<int64_t>(value.value.size());
        if (index < 0 || index >= size) {
          Fail(key, "index " + std::to_string(index) + " is outside the list of " + std::to_string(size));
          return {};
        }
        json inner = value.value[static_cast<size_t>(index)];
        value = {std::move(inner), {}};
      } else {
        Fail(key, std::string("cannot look into ") + Describe(value.value) + " with " +
                      (key.value.is_string() ? "a name" : "an index"));
        return {};
      }
    }
    return value;
  }

  // After a value: `.name` or `[expression]`. `key` gets the place and the value.
  bool Subscript(Lexeme* key) {
    if (IsSymbol(".")) {
      Next();
      if (at_.kind != Token::kName) {
        Fail(at_, "expected a name after '.'");
        return false;
      }
      *key = at_;
      key->value = std::string(at_.text);
      Next();
      return !failed_;
    }
    Next();
    *key = at_;
    ExprValue index = Or();
    if (failed_) return false;
    key->value = std::move(index.value);
    key->length = std::max(key->length, at_.offset - key->offset);
    return Expect("]", "after the index");
  }

  ExprValue Primary() {
    const Lexeme start = at_;
    if (start.kind == Token::kNumber || start.kind == Token::kText) {
      Next();
      return {start.value, {}};
    }
    if (IsSymbol("(")) {
      Next();
      ExprValue inner = Or();
      Expect(")", "here");
      return inner;
    }
    if (start.kind != Token::kName) {
      Fail(start, start.kind == Token::kEnd ? "the expression ends too early"
                                            : "unexpected '" + std::string(start.text) + "'");
      return {};
    }
    Next();
    if (start.text == "true") return {true, {}};
    if (start.text == "false") return {false, {}};
    if (start.text == "null") return {};
    if (IsSymbol("(")) return Call(start);
    if (start.text == "params" || start.text == "env" || start.text == "secrets") return Name(start);
    if (start.text == "stages") return Output(start);
    const std::vector<std::string> known = {"params", "env", "secrets", "stages"};
    const auto near = NearestName(start.text, known);
    Fail(start, "unknown name '" + std::string(start.text) + "'",
         near ? "did you mean '" + *near + "'?"
              : "text stands in single quotes, parameters are written params." + std::string(start.text));
    return {};
  }

  ExprValue Finish(const Lexeme& at, const NameValue& found) {
    switch (found.state) {
      case NameValue::State::kFound: return {found.value, {}};
      case NameValue::State::kUnset: return {nullptr, found.message};
      case NameValue::State::kRefused: Fail(at, found.message, found.hint); return {};
    }
    return {};
  }

  ExprValue Name(const Lexeme& context) {
    if (!IsSymbol(".") && !IsSymbol("[")) {
      Fail(context, "'" + std::string(context.text) + "' needs a name behind it",
           "write " + std::string(context.text) + ".NAME");
      return {};
    }
    Lexeme key;
    if (!Subscript(&key)) return {};
    if (!key.value.is_string()) {
      Fail(key, "expected a name in '" + std::string(context.text) + "[ ]'");
      return {};
    }
    const auto name = key.value.get<std::string>();
    return Finish(key, context.text == "params" ? names_.Param(name)
                       : context.text == "env"  ? names_.Env(name)
                                                : names_.Secret(name));
  }

  ExprValue Output(const Lexeme& context) {
    Lexeme stage, outputs, port;
    if (!IsSymbol(".") || !Subscript(&stage) || !IsSymbol(".") || !Subscript(&outputs) || outputs.text != "outputs" ||
        !IsSymbol(".") || !Subscript(&port)) {
      Fail(context, "an output is written stages.STAGE.outputs.PORT");
      return {};
    }
    const NameValue found = names_.Output(std::string(stage.text), std::string(port.text));
    return Finish(found.at_port ? port : stage, found);
  }

  // Secrets and run-time paths are not known here: they can be passed on, not looked at.
  bool Known(const Lexeme& at, const json& value) {
    if (failed_) return false;
    if (!value.is_string() || !HasPlaceholder(value.get_ref<const std::string&>())) return true;
    const bool secret = value.get_ref<const std::string&>().find("${{ secrets.") != std::string::npos;
    Fail(at, secret ? "a secret cannot be compared or taken apart" : "the path of an output is only known during the run",
         "it can be used as it is, or inside format() and join()");
    return false;
  }

  ExprValue Call(const Lexeme& function) {
    Next();
    std::vector<ExprValue> values;
    std::vector<Lexeme> places;
    while (!failed_ && !IsSymbol(")")) {
      if (!values.empty() && !Expect(",", "between arguments")) return {};
      places.push_back(at_);
      values.push_back(Or());
    }
    if (failed_ || !Expect(")", "after the arguments")) return {};
    inserted_ = 0;
    json result = Apply(function, values, places);
    if (result.is_string()) {
      const auto& text = result.get_ref<const std::string&>();
      if (text.size() > kMaxResultBytes) Fail(function, "the text is longer than 1 MiB");
      else if (CountPlaceholders(text) != inserted_) Fail(function, "the text cannot hold '${{'");
    }
    if (failed_) return {};
    return {std::move(result), {}};
  }

  bool Arguments(const Lexeme& function, size_t count, size_t least, size_t most) {
    if (count >= least && count <= most) return true;
    std::string range = std::to_string(least);
    if (most == std::string::npos) range = "at least " + range;
    else if (most != least) range += " or " + std::to_string(most);
    Fail(function, std::string(function.text) + "() takes " + range + (range == "1" || range == "at least 1" ? " argument" : " arguments") + ", not " +
                       std::to_string(count));
    return false;
  }

  std::string Text(const Lexeme& at, const json& value) {
    std::string out;
    if (!ScalarToText(value, &out)) {
      FailValue(at, std::string(Describe(value)) + " cannot be part of a text", "use toJSON() or join()");
    }
    inserted_ += CountPlaceholders(out);
    return out;
  }

  json Apply(const Lexeme& function, const std::vector<ExprValue>& values, const std::vector<Lexeme>& places) {
    const size_t n = values.size();
    auto arg = [&](size_t i) -> const json& { return values[i].value; };
    if (function.text == "contains") {
      if (!Arguments(function, n, 2, 2) || !Known(places[0], arg(0)) || !Known(places[1], arg(1))) return nullptr;
      if (arg(0).is_array()) {
        return std::any_of(arg(0).begin(), arg(0).end(), [&](const json& item) { return Equal(item, arg(1)); });
      }
      return ToLowerAscii(Text(places[0], arg(0))).find(ToLowerAscii(Text(places[1], arg(1)))) != std::string::npos;
    }
    if (function.text == "startsWith" || function.text == "endsWith") {
      if (!Arguments(function, n, 2, 2) || !Known(places[0], arg(0)) || !Known(places[1], arg(1))) return nullptr;
      const std::string text = ToLowerAscii(Text(places[0], arg(0))), part = ToLowerAscii(Text(places[1], arg(1)));
      return function.text == "startsWith" ? text.starts_with(part) : text.ends_with(part);
    }
    if (function.text == "format") return Format(function, values, places);
    if (function.text == "join") {
      if (!Arguments(function, n, 1, 2)) return nullptr;
      const std::string separator = n == 2 ? Text(places[1], arg(1)) : ",";
      if (!arg(0).is_array()) return Text(places[0], arg(0));
      std::string out;
      for (size_t i = 0; i < arg(0).size() && out.size() <= kMaxResultBytes; ++i) {
        if (i > 0) out += separator;
        out += Text(places[0], arg(0)[i]);
      }
      return out;
    }
    if (function.text == "toJSON") {
      if (!Arguments(function, n, 1, 1) || !Known(places[0], arg(0))) return nullptr;
      return arg(0).dump(2, ' ', false, json::error_handler_t::replace);
    }
    if (function.text == "fromJSON") {
      if (!Arguments(function, n, 1, 1) || !Known(places[0], arg(0))) return nullptr;
      const std::string text = Text(places[0], arg(0));
      json value = json::parse(text, nullptr, false);
      if (value.is_discarded()) {
        FailValue(places[0], "not valid JSON: '" + text.substr(0, 60) + "'");
        return nullptr;
      }
      if (HasPlaceholder(value.dump(-1, ' ', false, json::error_handler_t::replace))) {
        FailValue(places[0], "the value cannot hold '${{'");
        return nullptr;
      }
      return value;
    }
    if (function.text == "length") {
      if (!Arguments(function, n, 1, 1) || !Known(places[0], arg(0))) return nullptr;
      if (arg(0).is_structured()) return static_cast<int64_t>(arg(0).size());
      return static_cast<int64_t>(Text(places[0], arg(0)).size());
    }
    const auto near = NearestName(function.text, FunctionNames());
    Fail(function, "unknown function '" + std::string(function.text) + "'",
         near ? "did you mean '" + *near + "'?" : "known functions: " + Join(FunctionNames(), ", "));
    return nullptr;
  }

  json Format(const Lexeme& function, const std::vector<ExprValue>& values, const std::vector<Lexeme>& places) {
    if (!Arguments(function, values.size(), 1, std::string::npos) || !Known(places[0], values[0].value)) return nullptr;
    const std::string pattern = Text(places[0], values[0].value);
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
          FailValue(places[0], "'{' in a format is followed by a number and '}'", "write '{{' for a brace");
          return nullptr;
        }
        if (index + 1 >= values.size()) {
          FailValue(places[0], "the format uses {" + std::to_string(index) + "}, but has " +
                                   std::to_string(values.size() - 1) + (values.size() == 2 ? " value" : " values"));
          return nullptr;
        }
        out += Text(places[index + 1], values[index + 1].value);
        i = close;
      } else if (c == '}') {
        FailValue(places[0], "'}' in a format is written '}}'");
        return nullptr;
      } else {
        out += c;
      }
    }
    return out;
  }

  std::string_view text_;
  ExprNames& names_;
  Lexeme at_;
  size_t next_ = 0;
  int dead_ = 0, nesting_ = 0;
  size_t inserted_ = 0;  // placeholders in the texts that a function was given
  bool failed_ = false;
  ExprProblem problem_;
};

}  // namespace

std::variant<ExprValue, ExprProblem> EvaluateExpression(std::string_view text, ExprNames& names) {
  return Evaluator(text, names).Run();
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
  if (value.is_null()) out->clear();
  else if (value.is_boolean()) *out = value.get<bool>() ? "true" : "false";
  else if (value.is_string()) *out = value.get<std::string>();
  else if (value.is_number_integer()) *out = value.dump();
  else *out = FormatNumber(value.get<double>());
  return true;
}

size_t FindExpressionEnd(std::string_view text, size_t start) {
  bool quoted = false;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '\'') quoted = !quoted;
    else if (!quoted && text.substr(i, 2) == "}}") return i;
  }
  return std::string_view::npos;
}

}  // namespace genflow
