#include "eval/expression.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "eval/expression_node.h"
#include "eval/statistics.h"

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

// A number with its partial derivatives by the metrics behind it.
struct Tracked {
  double value = 0;
  std::map<std::string, double> slopes;
};

Tracked Sum(const Tracked& a, double times_a, const Tracked& b, double times_b, double value) {
  Tracked out{value, {}};
  for (const auto& [name, slope] : a.slopes) out.slopes[name] += times_a * slope;
  for (const auto& [name, slope] : b.slopes) out.slopes[name] += times_b * slope;
  return out;
}

class Evaluator {
 public:
  Evaluator(std::string_view text, const std::function<Result<Uncertain>(const std::string&)>& resolve,
            const EvaluateOptions& options)
      : text_(text), resolve_(resolve), options_(options) {}

  // Both sides of 'and' and 'or' are always evaluated, so that messages show every comparison.
  Result<bool> Truth(const Node& node) {
    if (node.kind == Kind::kNot) {
      // What is asked for inside 'not' is that the comparison fails: what is in favour changes sides.
      favour_ = -favour_;
      auto inner = Truth(*node.parts[0]);
      favour_ = -favour_;
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
    GF_TRY(const Tracked left, Number(*node.parts[0]));
    GF_TRY(const Tracked right, Number(*node.parts[1]));
    for (size_t i = 0; i < 2; ++i) {
      if (!std::isnan(i == 0 ? left.value : right.value)) continue;
      const Node& side = *node.parts[i];
      return ExpressionError(text_, side.begin, side.end,
                             "this is not a number (NaN), so nothing can be compared with it");
    }
    const double difference = left.value == right.value ? 0 : left.value - right.value;
    const Tracked apart = Sum(left, 1, right, -1, difference);
    ComparisonOutcome out{WithVariance(left), WithVariance(right), node.word, false, WithVariance(apart)};
    if (node.word != "==" && node.word != "!=") {
      out.level = node.level > 0 ? node.level : options_.confidence;
      out.proven = out.level > 0 && node.proven == (favour_ > 0);
    }
    const double errors = out.level > 0 ? (out.proven ? -1 : 1) * NormalQuantile((1 + out.level) / 2)
                                        : favour_ * options_.tolerance;
    const double slack = errors == 0 ? 0 : errors * std::sqrt(out.difference.variance);
    if (node.word == "<") out.holds = difference < slack;
    if (node.word == "<=") out.holds = difference <= slack;
    if (node.word == ">") out.holds = difference > -slack;
    if (node.word == ">=") out.holds = difference >= -slack;
    if (node.word == "==") out.holds = left.value == right.value;
    if (node.word == "!=") out.holds = left.value != right.value;
    comparisons.push_back(out);
    return out.holds;
  }

  Uncertain WithVariance(const Tracked& x) const {
    double variance = 0;
    for (const auto& [a, slope_a] : x.slopes) {
      for (const auto& [b, slope_b] : x.slopes) {
        if (slope_a == 0 || slope_b == 0) continue;
        const double covariance = a == b                ? variances_.at(a)
                                  : options_.covariance ? options_.covariance(a, b)
                                                        : 0;
        variance += slope_a * slope_b * covariance;
      }
    }
    return {x.value, std::max(0.0, variance)};
  }

  Result<Tracked> Number(const Node& node) {
    if (node.kind == Kind::kNumber) return Tracked{node.number, {}};
    if (node.kind == Kind::kName) {
      const auto value = resolve_(node.word);
      if (!value.ok()) {
        return ExpressionError(text_, node.begin, node.end, value.error().message, value.error().hint,
                               value.error().code);
      }
      variances_[node.word] = value->variance;
      return Tracked{value->value, {{node.word, 1}}};
    }
    std::vector<Tracked> v;
    for (const auto& part : node.parts) {
      GF_TRY(v.emplace_back(), Number(*part));
    }
    switch (node.kind) {
      case Kind::kAdd:
        return Sum(v[0], 1, v[1], 1, v[0].value + v[1].value);
      case Kind::kSubtract:
        return Sum(v[0], 1, v[1], -1, v[0].value - v[1].value);
      case Kind::kMultiply:
        return Sum(v[0], v[1].value, v[1], v[0].value, v[0].value * v[1].value);
      case Kind::kDivide: {
        if (v[1].value == 0)
          return ExpressionError(text_, node.parts[1]->begin, node.parts[1]->end, "division by zero");
        const double quotient = v[0].value / v[1].value;
        return Sum(v[0], 1 / v[1].value, v[1], -quotient / v[1].value, quotient);
      }
      case Kind::kNegate:
        return Sum(v[0], -1, {}, 0, -v[0].value);
      default:
        break;
    }
    if (node.word == "abs") return Sum(v[0], v[0].value < 0 ? -1 : 1, {}, 0, std::abs(v[0].value));
    // NaN wins over every number, so that a comparison meets it.
    const bool least = node.word == "min";
    Tracked out = v[0];
    for (const Tracked& x : v) {
      if (std::isnan(out.value)) break;
      if (std::isnan(x.value) || (least ? x.value < out.value : x.value > out.value)) out = x;
    }
    return out;
  }

  std::string_view text_;
  const std::function<Result<Uncertain>(const std::string&)>& resolve_;
  const EvaluateOptions& options_;
  double favour_ = 1;  // -1 inside an odd number of 'not'
  std::map<std::string, double> variances_;
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
    const std::function<Result<Uncertain>(const std::string& name)>& resolve,
    const EvaluateOptions& options) const {
  Evaluator evaluator(text_, resolve, options);
  GF_TRY(const bool holds, evaluator.Truth(*root_));
  return Evaluation{holds, std::move(evaluator.comparisons)};
}

}  // namespace genflow::eval
