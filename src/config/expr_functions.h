// The functions of expressions. Internal to src/config.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <variant>
#include <vector>

#include "config/expr.h"
#include "config/expr_lexer.h"

namespace genflow {

struct ExprArgument {
  Lexeme at;  // its first word
  nlohmann::json value;
};

// Secrets and run-time paths are not known while a pipeline is read: they can be passed on, not looked at.
std::optional<ExprProblem> WhyUnknown(const Lexeme& at, const nlohmann::json& value);

// `left_out`: the call stands in a side that && or || leaves out. Then it is checked that the function
// exists, takes so many arguments and may look at them; what they hold is no problem.
std::variant<nlohmann::json, ExprProblem> CallFunction(const Lexeme& function,
                                                       const std::vector<ExprArgument>& arguments,
                                                       bool left_out);

// What is wrong with comparing the outcome of a stage with `value`, whose first word is `at`: a literal that
// no outcome ever is. Nothing for other values.
std::optional<ExprProblem> WhyNoOutcome(const Lexeme& at, const nlohmann::json& value);

}  // namespace genflow
