// Text to tree, by recursive descent.
#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "eval/expression_node.h"

namespace genflow::eval {

Error ExpressionError(std::string_view text, size_t begin, size_t end, const std::string& what,
                      std::string hint, Code code) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
  return MakeError(code,
                   "column " + std::to_string(begin + 1) + ": " + what + "\n    " + line + "\n    " +
                       std::string(begin, ' ') + "^" +
                       std::string(end > begin + 1 ? end - begin - 1 : 0, '~'),
                   std::move(hint));
}

namespace {

using Node = ExpressionNode;
using NodePtr = std::unique_ptr<Node>;
using Kind = Node::Kind;

constexpr int kMaxDepth = 200;
constexpr size_t kMaxBytes = 4096;  // bounds the depth of the tree too

struct Token {
  enum class Kind { kEnd, kNumber, kName, kQuoted, kSymbol };
  Kind kind = Kind::kEnd;
  size_t begin = 0, end = 0;
  std::string text;
  double number = 0;
};

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameChar(char c) { return IsNameStart(c) || IsDigit(c) || c == '.'; }

Result<std::vector<Token>> Lex(std::string_view text) {
  std::vector<Token> out;
  size_t i = 0;
  while (true) {
    while (i < text.size() && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r')) ++i;
    Token token;
    token.begin = token.end = i;
    if (i == text.size()) {
      out.push_back(token);
      return out;
    }
    const char c = text[i];
    if (IsDigit(c) || (c == '.' && i + 1 < text.size() && IsDigit(text[i + 1]))) {
      const auto [stop, ec] = std::from_chars(text.data() + i, text.data() + text.size(), token.number);
      token.end = static_cast<size_t>(stop - text.data());
      if (ec != std::errc() || (token.end < text.size() && IsNameChar(text[token.end]))) {
        while (token.end < text.size() && IsNameChar(text[token.end])) ++token.end;
        return ExpressionError(text, i, token.end,
                               "'" + std::string(text.substr(i, token.end - i)) + "' is not a number");
      }
      token.kind = Token::Kind::kNumber;
    } else if (IsNameStart(c)) {
      while (token.end < text.size() && IsNameChar(text[token.end])) ++token.end;
      token.kind = Token::Kind::kName;
    } else if (c == '"' || c == '\'') {
      const size_t close = text.find(c, i + 1);
      if (close == std::string_view::npos)
        return ExpressionError(text, i, text.size(), "this quoted name does not end");
      if (close == i + 1) return ExpressionError(text, i, close + 1, "a quoted name is empty");
      token.kind = Token::Kind::kQuoted;
      token.end = close + 1;
      token.text = text.substr(i + 1, close - i - 1);
    } else {
      static constexpr std::string_view kPairs[] = {"<=", ">=", "==", "!=", "&&", "||"};
      const std::string_view pair = text.substr(i, 2);
      token.kind = Token::Kind::kSymbol;
      token.end = i + (std::find(std::begin(kPairs), std::end(kPairs), pair) != std::end(kPairs) ? 2 : 1);
      const std::string_view symbol = text.substr(i, token.end - i);
      if (symbol == "=") return ExpressionError(text, i, i + 1, "'=' does not compare", "write '=='");
      if (symbol == "&&") return ExpressionError(text, i, i + 2, "unknown operator '&&'", "write 'and'");
      if (symbol == "||") return ExpressionError(text, i, i + 2, "unknown operator '||'", "write 'or'");
      if (symbol == "!") return ExpressionError(text, i, i + 1, "unknown operator '!'", "write 'not'");
      const bool level = symbol == "%" && out.size() > 1 && out.back().kind == Token::Kind::kNumber &&
                         out[out.size() - 2].kind == Token::Kind::kName && out[out.size() - 2].text == "at";
      if (symbol == "%" && !level)
        return ExpressionError(text, i, i + 1, "unknown operator '%'", "write 90% as 0.9");
      if (symbol.size() == 1 && std::string_view("<>+-*/(),%").find(c) == std::string_view::npos) {
        // Whole UTF-8 characters are named, not their first byte.
        while (token.end < text.size() && (static_cast<unsigned char>(text[token.end]) & 0xC0) == 0x80)
          ++token.end;
        return ExpressionError(text, i, i + 1,
                               "unexpected character '" + std::string(text.substr(i, token.end - i)) + "'");
      }
    }
    if (token.text.empty()) token.text = text.substr(i, token.end - i);
    i = token.end;
    out.push_back(std::move(token));
  }
}

class Parser {
 public:
  Parser(std::string_view text, std::vector<Token> tokens) : text_(text), tokens_(std::move(tokens)) {}

  Result<NodePtr> Whole() {
    if (Peek().kind == Token::Kind::kEnd) return ExpressionError(text_, 0, 1, "the requirement is empty");
    GF_TRY(NodePtr root, Or());
    if (Peek().kind != Token::Kind::kEnd) {
      return Unexpected(Peek().text == ")" ? "'(' before it" : "an operator or the end");
    }
    if (!root->IsTruth()) {
      return ExpressionError(text_, root->begin, root->end, "a requirement compares, but this is a number",
                             "compare it, as in '" + std::string(text_) + " < 1.5'");
    }
    return root;
  }

 private:
  const Token& Peek() const { return tokens_[at_]; }
  bool Is(std::string_view word) const {
    return (Peek().kind == Token::Kind::kSymbol || Peek().kind == Token::Kind::kName) && Peek().text == word;
  }
  bool Take(std::string_view word) {
    if (!Is(word)) return false;
    ++at_;
    return true;
  }
  Error Unexpected(const std::string& expected) const {
    const Token& token = Peek();
    const std::string found = token.kind == Token::Kind::kEnd ? "the end" : "'" + token.text + "'";
    return ExpressionError(text_, token.begin, token.end, "expected " + expected + ", found " + found);
  }
  static NodePtr Make(Kind kind, std::vector<NodePtr> parts) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->begin = parts.front()->begin;
    node->end = parts.back()->end;
    node->parts = std::move(parts);
    return node;
  }
  static NodePtr Pair(Kind kind, NodePtr left, NodePtr right) {
    std::vector<NodePtr> parts;
    parts.push_back(std::move(left));
    parts.push_back(std::move(right));
    return Make(kind, std::move(parts));
  }
  Status WantTruth(const Node& node, const char* beside) const {
    if (node.IsTruth()) return Ok();
    return ExpressionError(text_, node.begin, node.end,
                           std::string("'") + beside + "' joins comparisons, but this is a number");
  }
  Status WantNumber(const Node& node, const std::string& beside) const {
    if (!node.IsTruth()) return Ok();
    if (node.kind == Kind::kCompare && beside != "a function") {
      return ExpressionError(text_, node.begin, node.end,
                             "'" + beside + "' needs numbers, but this is a comparison",
                             "join comparisons with 'and'");
    }
    return ExpressionError(
        text_, node.begin, node.end,
        (beside == "a function" ? beside : "'" + beside + "'") + " needs numbers, but this is true or false");
  }

  Result<NodePtr> Or() { return Joined("or", Kind::kOr, &Parser::And); }
  Result<NodePtr> And() { return Joined("and", Kind::kAnd, &Parser::Not); }
  Result<NodePtr> Joined(const char* word, Kind kind, Result<NodePtr> (Parser::*next)()) {
    GF_TRY(NodePtr left, (this->*next)());
    while (Take(word)) {
      GF_TRY(NodePtr right, (this->*next)());
      GF_CHECK_OK(WantTruth(*left, word));
      GF_CHECK_OK(WantTruth(*right, word));
      left = Pair(kind, std::move(left), std::move(right));
    }
    return left;
  }
  Result<NodePtr> Not() {
    if (!Is("not")) return Comparison();
    const size_t begin = Peek().begin;
    ++at_;
    GF_CHECK_OK(Deeper());
    GF_TRY(NodePtr inner, Not());
    --depth_;
    GF_CHECK_OK(WantTruth(*inner, "not"));
    std::vector<NodePtr> parts;
    parts.push_back(std::move(inner));
    NodePtr node = Make(Kind::kNot, std::move(parts));
    node->begin = begin;
    return node;
  }
  std::optional<std::string> TakeComparison() {
    for (const char* op : {"<", "<=", ">", ">=", "==", "!="}) {
      if (Take(op)) return op;
    }
    return std::nullopt;
  }
  Result<NodePtr> Comparison() {
    GF_TRY(NodePtr left, Sum());
    const auto op = TakeComparison();
    if (!op) return left;
    GF_TRY(NodePtr right, Sum());
    GF_CHECK_OK(WantNumber(*left, *op));
    GF_CHECK_OK(WantNumber(*right, *op));
    const Token& next = Peek();
    if (TakeComparison()) {
      return ExpressionError(text_, next.begin, next.end, "comparisons do not chain",
                             "write 'a < b and b < c'");
    }
    NodePtr node = Pair(Kind::kCompare, std::move(left), std::move(right));
    node->word = *op;
    GF_CHECK_OK(Confidence(*node));
    return node;
  }
  // "at 95%" or "proven at 95%" behind a comparison, where it is there.
  Status Confidence(Node& comparison) {
    const Token& word = Peek();
    comparison.proven = Take("proven");
    if (!Is("at")) return comparison.proven ? Status(Unexpected("'at', as in 'proven at 95%'")) : Ok();
    if (comparison.word == "==" || comparison.word == "!=") {
      return ExpressionError(text_, word.begin, word.end, "a confidence goes with <, <=, > and >= alone");
    }
    ++at_;
    const Token& number = Peek();
    if (number.kind != Token::Kind::kNumber) return Unexpected("a confidence such as 95%");
    ++at_;
    if (!Take("%")) return Unexpected("'%', as in 'at 95%'");
    if (!(number.number >= 50 && number.number < 100)) {
      return ExpressionError(text_, number.begin, number.end, "a confidence is from 50% to less than 100%");
    }
    comparison.level = number.number / 100;
    comparison.end = tokens_[at_ - 1].end;
    return Ok();
  }
  Result<NodePtr> Sum() { return Chain({{"+", Kind::kAdd}, {"-", Kind::kSubtract}}, &Parser::Product); }
  Result<NodePtr> Product() { return Chain({{"*", Kind::kMultiply}, {"/", Kind::kDivide}}, &Parser::Unary); }
  Result<NodePtr> Chain(std::initializer_list<std::pair<const char*, Kind>> operators,
                        Result<NodePtr> (Parser::*next)()) {
    GF_TRY(NodePtr left, (this->*next)());
    while (true) {
      const auto op =
          std::find_if(operators.begin(), operators.end(), [&](const auto& o) { return Is(o.first); });
      if (op == operators.end()) return left;
      ++at_;
      GF_TRY(NodePtr right, (this->*next)());
      GF_CHECK_OK(WantNumber(*left, op->first));
      GF_CHECK_OK(WantNumber(*right, op->first));
      left = Pair(op->second, std::move(left), std::move(right));
    }
  }
  Result<NodePtr> Unary() {
    if (!Is("-")) return Operand();
    const size_t begin = Peek().begin;
    ++at_;
    GF_CHECK_OK(Deeper());
    GF_TRY(NodePtr inner, Unary());
    --depth_;
    GF_CHECK_OK(WantNumber(*inner, "-"));
    std::vector<NodePtr> parts;
    parts.push_back(std::move(inner));
    NodePtr node = Make(Kind::kNegate, std::move(parts));
    node->begin = begin;
    return node;
  }
  Status Deeper() {
    if (++depth_ <= kMaxDepth) return Ok();
    return ExpressionError(text_, Peek().begin, Peek().end, "nested too deeply");
  }
  Result<NodePtr> Operand() {
    const Token token = Peek();
    if (Take("(")) {
      GF_CHECK_OK(Deeper());
      GF_TRY(NodePtr inner, Or());
      --depth_;
      if (!Is(")")) return Unexpected("')'");
      inner->begin = token.begin;
      inner->end = Peek().end;
      ++at_;
      return inner;
    }
    auto node = std::make_unique<Node>();
    node->begin = token.begin;
    node->end = token.end;
    if (token.kind == Token::Kind::kNumber) {
      node->number = token.number;
      ++at_;
      return node;
    }
    const bool word = token.kind == Token::Kind::kName && (Is("and") || Is("or") || Is("not"));
    if ((token.kind != Token::Kind::kName && token.kind != Token::Kind::kQuoted) || word) {
      return Unexpected("a number, a metric or '('");
    }
    ++at_;
    node->word = token.text;
    if (token.kind == Token::Kind::kName && Is("(")) return Call(std::move(node));
    if (token.kind == Token::Kind::kName &&
        (token.text.back() == '.' || token.text.find("..") != std::string::npos)) {
      return ExpressionError(text_, token.begin, token.end, "'" + token.text + "' is not a metric's name");
    }
    node->kind = Kind::kName;
    return node;
  }
  Result<NodePtr> Call(NodePtr node) {
    if (node->word != "min" && node->word != "max" && node->word != "abs") {
      const auto near = NearestName(node->word, {"min", "max", "abs"});
      return ExpressionError(text_, node->begin, node->end, "unknown function '" + node->word + "'",
                             near ? "did you mean '" + *near + "'?" : "there are min, max and abs");
    }
    ++at_;  // "("
    GF_CHECK_OK(Deeper());
    node->kind = Kind::kCall;
    do {
      GF_TRY(NodePtr argument, Or());
      GF_CHECK_OK(WantNumber(*argument, "a function"));
      node->parts.push_back(std::move(argument));
    } while (Take(","));
    --depth_;
    if (!Is(")")) return Unexpected("',' or ')'");
    node->end = Peek().end;
    ++at_;
    if (node->word == "abs" && node->parts.size() != 1) {
      return ExpressionError(text_, node->begin, node->end,
                             "abs takes one argument, not " + std::to_string(node->parts.size()));
    }
    return node;
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<std::unique_ptr<ExpressionNode>> ParseExpression(std::string_view text) {
  if (text.size() > kMaxBytes) {
    return InvalidError("the requirement is longer than " + std::to_string(kMaxBytes) + " bytes");
  }
  GF_TRY(std::vector<Token> tokens, Lex(text));
  return Parser(text, std::move(tokens)).Whole();
}

}  // namespace genflow::eval
