// How values behave in expressions: GitHub Actions' rules. Internal to src/config.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "config/expr_lexer.h"

namespace genflow {

// '' and null are 0, text that is no number and containers are NaN.
double ValueToNumber(const nlohmann::json& value);
// An integer where the number is one exactly.
nlohmann::json NumberToValue(double value);
// Text without regard to case; different types as numbers.
bool EqualValues(const nlohmann::json& a, const nlohmann::json& b);
// `op` is one of < <= > >=.
bool CompareValues(std::string_view op, const nlohmann::json& a, const nlohmann::json& b);
// `op` is one of + - * / %. Values that cannot be calculated with are a problem at the operator.
std::variant<nlohmann::json, ExprProblem> Calculate(const Lexeme& op, const nlohmann::json& a,
                                                    const nlohmann::json& b);
// The entry of a mapping or a list; `shown` is the value as the expression writes it.
std::variant<nlohmann::json, ExprProblem> LookInto(const nlohmann::json& value, const Lexeme& key,
                                                   std::string_view shown);
// "a number", "text", "a list".
const char* DescribeType(const nlohmann::json& value);

}  // namespace genflow
