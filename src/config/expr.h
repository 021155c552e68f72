// The language inside ${{ }}: GitHub Actions' expressions, with arithmetic.
//
//   literals      null true false 12 0x1f 1.5e-3 'text, with '' for a quote'
//   names         params.a.b  params['a'][0]  env.X  secrets.X  matrix.r  stages.S.outputs.P
//                 stages['tune[r=8]'].outputs.P  stages.S.outcome  stages.S.metrics.M
//   operators     || && == != < <= > >= + - * / % ! ( )
//   functions     contains startsWith endsWith format join toJSON fromJSON length
//                 success failure always cancelled
//
// && and || give one of their operands. == ignores case in text and turns both sides into numbers where
// their types differ. A '-' inside a name belongs to it: subtraction has spaces around it.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

namespace genflow {

struct ExprProblem {
  size_t offset = 0, length = 1;  // bytes in the expression's text
  std::string message, hint;
};

struct ExprValue {
  nlohmann::json value;
  // Set where the value is null because a name is not set: "environment variable 'X'".
  std::string unset;
  // The value depends on what is not known yet. (false && unknown is false, true || unknown is true.)
  bool unknown = false;
};

// What a name stands for.
struct NameValue {
  enum class State { kFound, kUnset, kRefused, kUnknown };
  State state = State::kFound;
  nlohmann::json value;       // kFound
  std::string message, hint;  // kRefused: what to report; kUnset: `message` is what is not set
  bool at_port = false;       // kRefused by Output(): the port is at fault, not the stage

  static NameValue Found(nlohmann::json value);
  static NameValue Unknown();
  static NameValue Refused(std::string message, std::string hint = {});
};

// What names mean where an expression stands.
class ExprNames {
 public:
  virtual ~ExprNames() = default;
  virtual NameValue Param(const std::string& name) = 0;
  virtual NameValue Env(const std::string& name) = 0;
  virtual NameValue Secret(const std::string& name) = 0;  // the value is a placeholder's text
  virtual NameValue Output(const std::string& stage, const std::string& port) = 0;  // the same
  // These are refused by default.
  virtual NameValue Matrix(const std::string& name);
  virtual NameValue StageOutcome(const std::string& stage);
  virtual NameValue StageMetric(const std::string& stage, const std::string& name);
  virtual NameValue Status(const std::string& function);  // success, failure, always, cancelled
};

// `text` is what stands between ${{ and }}. Sides that && and || leave out are still checked for names,
// but cannot fail otherwise. Text results are at most 1 MiB.
std::variant<ExprValue, ExprProblem> EvaluateExpression(std::string_view text, ExprNames& names);

// false, 0, '' and null are false.
bool IsTruthy(const nlohmann::json& value);
// As inside a longer text: null is '', numbers have their shortest form. Nothing for lists and objects.
bool ScalarToText(const nlohmann::json& value, std::string* out);
// Offset of the }} that ends an expression whose text starts at `start`, or npos. Quotes are respected.
size_t FindExpressionEnd(std::string_view text, size_t start);

}  // namespace genflow
