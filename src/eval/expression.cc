#include "eval/expression.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "eval/expression_node.h"

namespace genflow::eval {
namespace {

using Node = ExpressionNode;
using NodePtr = std::unique_ptr<Node>;
using Kind = Node::Kind;

void CollectNames(const Node& node, std::vector<std::string>* names) {
  if (node.kind == Kind::kName && std::find(names->begin(), names->end(), node.word) == names->end()) {
    names->push_back(node.word);
  }
  for (const auto& part : node.parts) CollectNames(*part, names);
}

class Evaluator {
 public:
  Evaluator(std::string_view text, const std::function<Result<Uncertain>(const std::string&)>& resolve,
            double tolerance)
      : text_(text), resolve_(resolve), tolerance_(tolerance) {}

  // Both sides of 'and' and 'or' are always evaluated, so that messages show every comparison.
  Result<bool> Truth(const Node& node) {
    if (node.kind == Kind::kNot) {
      // What is asked for inside 'not' is that the comparison fails: the tolerance changes sides.
      tolerance_ = -tolerance_;
      auto inner = Truth(*node.parts[0]);
      tolerance_ = -tolerance_;
      if (!inner.ok()) return inner;
      return !*inner;
    }
    if (node.kind == Kind::kCompare) return Compare(node);
    GF_TRY(const bool left, Truth(*node.parts[0]));
    GF_TRY(const bool right, Truth(*node.parts[1]));
    return node.kind == Kind::kOr ? left || right : left && right;
  }

  std::vector<ComparisonOutcome> comparisons;

 private:
  Result<bool> Compare(const Node& node) {
    GF_TRY(const Uncertain left, Number(*node.parts[0]));
    GF_TRY(const Uncertain right, Number(*node.parts[1]));
    for (size_t i = 0; i < 2; ++i) {
      if (!std::isnan(i == 0 ? left.value : right.value)) continue;
      const Node& side = *node.parts[i];
      return ExpressionError(text_, side.begin, side.end,
                             "this is not a number (NaN), so nothing can be compared with it");
    }
    const double slack = tolerance_ == 0 ? 0 : tolerance_ * std::sqrt(left.variance + right.variance);
    const double difference = left.value == right.value ? 0 : left.value - right.value;
    ComparisonOutcome out{left, right, node.word, false};
    if (node.word == "<") out.holds = difference < slack;
    if (node.word == "<=") out.holds = difference <= slack;
    if (node.word == ">") out.holds = difference > -slack;
    if (node.word == ">=") out.holds = difference >= -slack;
    if (node.word == "==") out.holds = left.value == right.value;
    if (node.word == "!=") out.holds = left.value != right.value;
    comparisons.push_back(out);
    return out.holds;
  }

  Result<Uncertain> Number(const Node& node) {
    if (node.kind == Kind::kNumber) return Uncertain{node.number, 0};
    if (node.kind == Kind::kName) {
      auto value = resolve_(node.word);
      if (value.ok()) return value;
      return ExpressionError(text_, node.begin, node.end, value.error().message, value.error().hint,
                             value.error().code);
    }
    std::vector<Uncertain> v;
    for (const auto& part : node.parts) {
      GF_TRY(v.emplace_back(), Number(*part));
    }
    const auto square = [](double x) { return x * x; };
    switch (node.kind) {
      case Kind::kAdd:
        return Uncertain{v[0].value + v[1].value, v[0].variance + v[1].variance};
      case Kind::kSubtract:
        return Uncertain{v[0].value - v[1].value, v[0].variance + v[1].variance};
      case Kind::kMultiply:
        return Uncertain{v[0].value * v[1].value,
                         square(v[1].value) * v[0].variance + square(v[0].value) * v[1].variance};
      case Kind::kDivide:
        if (v[1].value == 0)
          return ExpressionError(text_, node.parts[1]->begin, node.parts[1]->end, "division by zero");
        return Uncertain{
            v[0].value / v[1].value,
            (v[0].variance + square(v[0].value / v[1].value) * v[1].variance) / square(v[1].value)};
      case Kind::kNegate:
        return Uncertain{-v[0].value, v[0].variance};
      default:
        break;
    }
    if (node.word == "abs") return Uncertain{std::abs(v[0].value), v[0].variance};
    // NaN wins over every number, so that a comparison meets it.
    const bool least = node.word == "min";
    Uncertain out = v[0];
    for (const Uncertain& x : v) {
      if (std::isnan(out.value)) break;
      if (std::isnan(x.value) || (least ? x.value < out.value : x.value > out.value)) out = x;
    }
    return out;
  }

  std::string_view text_;
  const std::function<Result<Uncertain>(const std::string&)>& resolve_;
  double tolerance_;
};

}  // namespace

Expression::Expression(std::string text, std::unique_ptr<ExpressionNode> root)
    : text_(std::move(text)), root_(std::move(root)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

Result<Expression> Expression::Parse(std::string_view text) {
  GF_TRY(NodePtr root, ParseExpression(text));
  return Expression(std::string(text), std::move(root));
}

std::vector<std::string> Expression::Names() const {
  std::vector<std::string> out;
  CollectNames(*root_, &out);
  return out;
}

Result<Evaluation> Expression::Evaluate(
    const std::function<Result<Uncertain>(const std::string& name)>& resolve, double tolerance) const {
  Evaluator evaluator(text_, resolve, tolerance);
  GF_TRY(const bool holds, evaluator.Truth(*root_));
  return Evaluation{holds, std::move(evaluator.comparisons)};
}

}  // namespace genflow::eval
