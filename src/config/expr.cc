#include "config/expr.h"

#include <algorithm>
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

  static ExprValue Unknown() { return {nullptr, {}, true}; }

  ExprValue Or() {
    ExprValue left = And();
    while (!failed_ && IsSymbol("||")) {
      Next();
      const bool keep = !left.unknown && IsTruthy(left.value);
      dead_ += keep ? 1 : 0;
      ExprValue right = And();
      dead_ -= keep ? 1 : 0;
      const bool decides = !left.unknown || (!right.unknown && IsTruthy(right.value));
      if (!keep) left = decides ? std::move(right) : Unknown();
    }
    return left;
  }

  ExprValue And() {
    ExprValue left = Equality();
    while (!failed_ && IsSymbol("&&")) {
      Next();
      const bool keep = !left.unknown && !IsTruthy(left.value);
      dead_ += keep ? 1 : 0;
      ExprValue right = Equality();
      dead_ -= keep ? 1 : 0;
      const bool decides = !left.unknown || (!right.unknown && !IsTruthy(right.value));
      if (!keep) left = decides ? std::move(right) : Unknown();
    }
    return left;
  }

  ExprValue Equality() {
    const Lexeme left_at = at_;
    ExprValue left = Order();
    const bool outcome = IsOutcome(left_at.offset);
    while (!failed_ && (IsSymbol("==") || IsSymbol("!="))) {
      const Lexeme op = at_;
      Next();
      const Lexeme right_at = at_;
      const ExprValue right = Order();
      if (outcome || IsOutcome(right_at.offset)) {
        auto odd = outcome ? WhyNoOutcome(right_at, right.value) : WhyNoOutcome(left_at, left.value);
        if (odd) Fail(*std::move(odd));
      }
      if (failed_ || !Known(op, left.value) || !Known(op, right.value)) return {};
      left = left.unknown || right.unknown
                 ? Unknown()
                 : ExprValue{EqualValues(left.value, right.value) == (op.text == "=="), {}};
    }
    return left;
  }

  // Whether the operand from `start` up to here is the outcome of a stage, and nothing else.
  bool IsOutcome(size_t start) const { return outcome_begin_ == start && outcome_end_ == at_.offset; }

  ExprValue Order() {
    ExprValue left = Sum();
    while (!failed_ && (IsSymbol("<") || IsSymbol("<=") || IsSymbol(">") || IsSymbol(">="))) {
      const Lexeme op = at_;
      Next();
      const ExprValue right = Sum();
      if (failed_ || !Known(op, left.value) || !Known(op, right.value)) return {};
      left = left.unknown || right.unknown ? Unknown()
                                           : ExprValue{CompareValues(op.text, left.value, right.value), {}};
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
      left =
          left.unknown || right.unknown ? Unknown() : ExprValue{Arithmetic(op, left.value, right.value), {}};
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
      left =
          left.unknown || right.unknown ? Unknown() : ExprValue{Arithmetic(op, left.value, right.value), {}};
    }
    return left;
  }

  json Arithmetic(const Lexeme& op, const json& a, const json& b) {
    if (!Known(op, a) || !Known(op, b)) return nullptr;
    auto result = Calculate(op, a, b);
    if (auto* value = std::get_if<json>(&result)) return std::move(*value);
    if (dead_ == 0) Fail(std::get<ExprProblem>(std::move(result)));
    return nullptr;
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
      if (Known(operand, value.value))
        out = value.unknown ? Unknown() : ExprValue{!IsTruthy(value.value), {}};
    } else if (IsSymbol("-")) {
      const Lexeme op = at_;
      Next();
      const ExprValue value = Unary();
      if (!failed_) out = value.unknown ? Unknown() : ExprValue{Arithmetic(op, 0, value.value), {}};
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
      if (dead_ > 0 || value.unknown) continue;
      auto inner = LookInto(value.value, key, text_.substr(start.offset, key.offset - start.offset - 1));
      if (auto* problem = std::get_if<ExprProblem>(&inner)) {
        Fail(std::move(*problem));
        return {};
      }
      value = {std::get<json>(std::move(inner)), {}};
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
    if (index.unknown) Fail(*key, "an index must be known before the run");
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
    if (start.text == "stages") return Stage(start);
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
      case NameValue::State::kUnknown:
        return Unknown();
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

  // What stands behind `stages`: an output, the outcome or a metric of a stage.
  ExprValue Stage(const Lexeme& context) {
    Lexeme stage, what, name;
    const bool begun = (IsSymbol(".") || IsSymbol("[")) && Subscript(&stage) && stage.value.is_string() &&
                       IsSymbol(".") && Subscript(&what);
    const std::string id = begun ? stage.value.get<std::string>() : "";
    outcome_begin_ = what.text == "outcome" ? context.offset : std::string_view::npos;
    outcome_end_ = at_.offset;
    if (begun && what.text == "outcome") return Finish(stage, names_.StageOutcome(id));
    if (begun && what.text == "metrics") return Metric(stage, id);
    if (!begun || what.text != "outputs" || !IsSymbol(".") || !Subscript(&name)) {
      if (begun && what.text != "outputs") {
        const std::vector<std::string> known = {"outputs", "outcome", "metrics"};
        const auto near = NearestName(what.text, known);
        Fail(what, "a stage has outputs, outcome and metrics, not '" + std::string(what.text) + "'",
             near ? "did you mean '" + *near + "'?" : "");
      }
      Fail(context, "an output is written stages.STAGE.outputs.PORT");
      return {};
    }
    const NameValue found = names_.Output(id, std::string(name.text));
    return Finish(found.at_port ? name : stage, found);
  }

  // Names of metrics hold dots: all that follows is the name.
  ExprValue Metric(const Lexeme& stage, const std::string& id) {
    std::string name;
    Lexeme first;
    while (!failed_ && (IsSymbol(".") || IsSymbol("["))) {
      Lexeme part;
      if (!Subscript(&part)) return {};
      if (!part.value.is_string()) {
        Fail(part, "expected the name of a metric");
        return {};
      }
      if (name.empty()) first = part;
      name += (name.empty() ? "" : ".") + part.value.get<std::string>();
    }
    if (name.empty()) Fail(stage, "a metric is written stages.STAGE.metrics.NAME");
    if (failed_) return {};
    const NameValue found = names_.StageMetric(id, name);
    return Finish(found.at_port ? first : stage, found);
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
    bool unknown = false;
    while (!failed_ && !IsSymbol(")")) {
      if (!arguments.empty() && !Expect(",", "between arguments")) return {};
      const Lexeme at = at_;
      const ExprValue argument = Or();
      unknown |= argument.unknown;
      arguments.push_back({at, argument.value});
    }
    if (failed_ || !Expect(")", "after the arguments")) return {};
    if (function.text == "success" || function.text == "failure" || function.text == "always" ||
        function.text == "cancelled") {
      if (!arguments.empty()) {
        Fail(function, std::string(function.text) + "() takes no arguments");
        return {};
      }
      return Finish(function, names_.Status(std::string(function.text)));
    }
    auto result = CallFunction(function, arguments, dead_ > 0 || unknown);
    if (auto* problem = std::get_if<ExprProblem>(&result)) {
      Fail(std::move(*problem));
      return {};
    }
    if (unknown) return Unknown();
    return {std::get<json>(std::move(result)), {}};
  }

  std::string_view text_;
  ExprNames& names_;
  Lexeme at_;
  size_t next_ = 0, outcome_begin_ = std::string_view::npos, outcome_end_ = 0;  // of the last outcome
  int dead_ = 0, nesting_ = 0;
  bool failed_ = false;
  ExprProblem problem_;
};

}  // namespace

std::variant<ExprValue, ExprProblem> EvaluateExpression(std::string_view text, ExprNames& names) {
  return Evaluator(text, names).Run();
}

}  // namespace genflow
