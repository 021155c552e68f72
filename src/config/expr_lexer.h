// The words of an expression. Internal to src/config.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "config/expr.h"

namespace genflow {

enum class Token { kEnd, kName, kNumber, kText, kSymbol };

struct Lexeme {
  Token kind = Token::kEnd;
  size_t offset = 0, length = 0;
  std::string_view text;  // as written
  nlohmann::json value;   // kNumber, kText
};

// The next lexeme of `text` from `*at`, which is moved behind it. `before` is the one that came before.
std::variant<Lexeme, ExprProblem> NextLexeme(std::string_view text, size_t* at, const Lexeme& before);

}  // namespace genflow
