#include "config/expr_lexer.h"

#include <cctype>
#include <charconv>

#include "config/placeholder.h"

namespace genflow {

namespace {

using nlohmann::json;

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool IsNameChar(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

ExprProblem Problem(size_t offset, size_t length, std::string message, std::string hint = {}) {
  return {offset, length, std::move(message), std::move(hint)};
}

std::variant<Lexeme, ExprProblem> Number(std::string_view text, size_t* at) {
  const size_t start = *at;
  size_t i = start;
  while (i < text.size() &&
         (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '.' ||
          ((text[i] == '+' || text[i] == '-') && (text[i - 1] == 'e' || text[i - 1] == 'E')))) {
    ++i;
  }
  const std::string_view written = text.substr(start, i - start);
  Lexeme out{Token::kNumber, start, i - start, written, nullptr};
  *at = i;
  const bool hex = written.starts_with("0x");
  const char* first = written.data() + (hex ? 2 : 0);
  const char* last = written.data() + written.size();
  int64_t integer = 0;
  if (auto [end, error] = std::from_chars(first, last, integer, hex ? 16 : 10);
      error == std::errc() && end == last) {
    out.value = integer;
    return out;
  }
  double number = 0;
  if (auto [end, error] = std::from_chars(first, last, number); !hex && error == std::errc() && end == last) {
    out.value = number;
    return out;
  }
  return Problem(start, written.size(), "'" + std::string(written) + "' is not a number");
}

std::variant<Lexeme, ExprProblem> Text(std::string_view text, size_t* at) {
  const size_t start = *at;
  std::string value;
  size_t i = start + 1;
  for (; i < text.size(); ++i) {
    if (text[i] != '\'')
      value += text[i];
    else if (i + 1 < text.size() && text[i + 1] == '\'')
      value += text[i++];
    else
      break;
  }
  if (i == text.size()) return Problem(start, i - start, "the text is not closed by '");
  ++i;
  *at = i;
  if (HasPlaceholder(value)) return Problem(start, i - start, "text in an expression cannot hold '${{'");
  return Lexeme{Token::kText, start, i - start, text.substr(start, i - start), std::move(value)};
}

}  // namespace

std::variant<Lexeme, ExprProblem> NextLexeme(std::string_view text, size_t* at, const Lexeme& before) {
  size_t i = *at;
  while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i]))) ++i;
  const size_t start = i;
  auto take = [&](Token kind, size_t end) {
    *at = end;
    return Lexeme{kind, start, end - start, text.substr(start, end - start), nullptr};
  };
  if (i == text.size()) return take(Token::kEnd, i);
  const char c = text[i];
  if (IsNameStart(c)) {
    while (i < text.size() && IsNameChar(text[i])) ++i;
    return take(Token::kName, i);
  }
  *at = start;
  // A '.' behind a name or a ']' looks into it.
  const bool looks_into =
      before.kind == Token::kName || (before.kind == Token::kSymbol && before.text == "]");
  const bool fraction = c == '.' && i + 1 < text.size() && IsDigit(text[i + 1]) && !looks_into;
  if (IsDigit(c) || fraction) return Number(text, at);
  if (c == '\'') return Text(text, at);
  if (c == '"') return Problem(start, 1, "text stands in single quotes", "write 'text'");
  for (std::string_view two : {"==", "!=", "<=", ">=", "&&", "||"}) {
    if (text.substr(i, 2) == two) return take(Token::kSymbol, i + 2);
  }
  if (std::string_view("()[].,!<>+-*/%=").find(c) != std::string_view::npos)
    return take(Token::kSymbol, i + 1);
  while (++i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) {
  }
  return Problem(start, i - start, "unexpected '" + std::string(text.substr(start, i - start)) + "'");
}

size_t FindExpressionEnd(std::string_view text, size_t start) {
  bool quoted = false;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '\'')
      quoted = !quoted;
    else if (!quoted && text.substr(i, 2) == "}}")
      return i;
  }
  return std::string_view::npos;
}

}  // namespace genflow
