#include "config/expr.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/strings.h"
#include "config/expr_functions.h"
#include "config/expr_lexer.h"
#include "config/expr_values.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr int kMaxNesting = 100;

// Recursive descent that evaluates as it reads. After the first problem everything returns at once.
class Evaluator {
 public:
  Evaluator(std::string_view text, ExprNames& names) : text_(text), names_(names) {}

  std::variant<ExprValue, ExprProblem> Run() {
    Next();
    if (!failed_ && at_.kind == Token::kEnd)
      Fail(0, std::max<size_t>(1, text_.size()), "the expression is empty");
    ExprValue out = Or();
    if (!failed_ && at_.kind != Token::kEnd) {
      Fail(at_, "unexpected '" + std::string(at_.text) + "' after the expression",
           at_.kind == Token::kSymbol && at_.text == "=" ? "compare with '=='" : "");
    }
    if (failed_) return problem_;
    return out;
  }

 private:
  void Fail(ExprProblem problem) {
    if (failed_) return;
    failed_ = true;
    problem_ = std::move(problem);
    at_ = {};
  }
  void Fail(size_t offset, size_t length, std::string message, std::string hint = {}) {
    Fail({offset, std::max<size_t>(1, length), std::move(message), std::move(hint)});
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
    auto lexeme = NextLexeme(text_, &next_, at_);
    if (auto* problem = std::get_if<ExprProblem>(&lexeme)) {
      Fail(problem->offset, problem->length, std::move(problem->message), std::move(problem->hint));
    } else {
      at_ = std::get<Lexeme>(std::move(lexeme));
    }
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
      left = {EqualValues(left.value, right.value) == (op.text == "=="), {}};
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
      left = {CompareValues(op.text, left.value, right.value), {}};
    }
    return left;
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
      if (side->is_structured() || std::isnan(ValueToNumber(*side))) {
        FailValue(op, "'" + std::string(op.text) + "' takes numbers, not " + DescribeType(*side),
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
    const double x = ValueToNumber(a), y = ValueToNumber(b);
    if ((op.text == "/" || op.text == "%") && y == 0) {
      FailValue(op, "division by zero");
      return nullptr;
    }
    const double result = op.text == "+"   ? x + y
                          : op.text == "-" ? x - y
                          : op.text == "*" ? x * y
                          : op.text == "/" ? x / y
                                           : std::fmod(x, y);
    if (!std::isfinite(result)) {
      FailValue(op, "the result is not a finite number");
      return nullptr;
    }
    return NumberToValue(result);
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
          Fail(key,
               "'" + std::string(text_.substr(start.offset, key.offset - start.offset - 1)) +
                   "' has no entry '" + name + "'",
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
        Fail(key, std::string("cannot look into ") + DescribeType(value.value) + " with " +
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
    if (start.text == "params" || start.text == "env" || start.text == "secrets" || start.text == "matrix") {
      return Name(start);
    }
    if (start.text == "stages") return Output(start);
    const std::vector<std::string> known = {"params", "env", "secrets", "matrix", "stages"};
    const auto near = NearestName(start.text, known);
    Fail(start, "unknown name '" + std::string(start.text) + "'",
         near ? "did you mean '" + *near + "'?"
              : "text stands in single quotes, parameters are written params." + std::string(start.text));
    return {};
  }

  ExprValue Finish(const Lexeme& at, const NameValue& found) {
    switch (found.state) {
      case NameValue::State::kFound:
        return {found.value, {}};
      case NameValue::State::kUnset:
        return {nullptr, found.message};
      case NameValue::State::kRefused:
        Fail(at, found.message, found.hint);
        return {};
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
    return Finish(key, context.text == "params"   ? names_.Param(name)
                       : context.text == "env"    ? names_.Env(name)
                       : context.text == "matrix" ? names_.Matrix(name)
                                                  : names_.Secret(name));
  }

  ExprValue Output(const Lexeme& context) {
    Lexeme stage, outputs, port;
    if ((!IsSymbol(".") && !IsSymbol("[")) || !Subscript(&stage) || !stage.value.is_string() ||
        !IsSymbol(".") || !Subscript(&outputs) || outputs.text != "outputs" || !IsSymbol(".") ||
        !Subscript(&port)) {
      Fail(context, "an output is written stages.STAGE.outputs.PORT");
      return {};
    }
    const NameValue found = names_.Output(stage.value.get<std::string>(), std::string(port.text));
    return Finish(found.at_port ? port : stage, found);
  }

  bool Known(const Lexeme& at, const json& value) {
    if (failed_) return false;
    auto problem = WhyUnknown(at, value);
    if (problem) Fail(std::move(*problem));
    return !problem;
  }

  ExprValue Call(const Lexeme& function) {
    Next();
    std::vector<ExprArgument> arguments;
    while (!failed_ && !IsSymbol(")")) {
      if (!arguments.empty() && !Expect(",", "between arguments")) return {};
      const Lexeme at = at_;
      arguments.push_back({at, Or().value});
    }
    if (failed_ || !Expect(")", "after the arguments")) return {};
    auto result = CallFunction(function, arguments, dead_ > 0);
    if (auto* problem = std::get_if<ExprProblem>(&result)) {
      Fail(std::move(*problem));
      return {};
    }
    return {std::get<json>(std::move(result)), {}};
  }

  std::string_view text_;
  ExprNames& names_;
  Lexeme at_;
  size_t next_ = 0;
  int dead_ = 0, nesting_ = 0;
  bool failed_ = false;
  ExprProblem problem_;
};

}  // namespace

NameValue ExprNames::Matrix(const std::string&) {
  NameValue out;
  out.state = NameValue::State::kRefused;
  out.message = "values of a matrix cannot be used here";
  return out;
}

std::variant<ExprValue, ExprProblem> EvaluateExpression(std::string_view text, ExprNames& names) {
  return Evaluator(text, names).Run();
}

}  // namespace genflow
