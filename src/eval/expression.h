// The language of quality gates: "perplexity < baseline.perplexity * 0.75 and not (loss > 3)".
//
//   or < and < not < comparison (< <= > >= == !=, not chained) < + - < * / < unary - < operand
//   comparison: SUM < SUM            as the numbers stand, or with the tolerance or confidence of the options
//               SUM < SUM at 95%     does not hold only where the numbers refute it at that confidence
//               SUM < SUM proven at 95%   holds only where they show it at that confidence
//   operand: number, metric name (dotted; quoted where it holds other characters: "my-stage.loss"),
//            min(a, b, ...), max(a, b, ...), abs(a), ( ... )
//
// Truth values and numbers do not mix: a requirement is a truth value.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::eval {

// A number and the variance of its estimate; variances propagate to first order (the delta method).
struct Uncertain {
  double value = 0;
  double variance = 0;
};

struct ExpressionNode;

// One comparison as it came out, for messages.
struct ComparisonOutcome {
  Uncertain left, right;
  std::string op;
  bool holds = false;
  Uncertain difference;  // left - right; its variance knows what both sides have in common
  // Confidence of a comparison that is judged by one, 0..1; 0: the numbers as they stand, or a tolerance.
  double level = 0;
  bool proven = false;  // with `level`: it must be shown, rather than not be refuted
};

struct Evaluation {
  bool holds = false;
  std::vector<ComparisonOutcome> comparisons;  // those evaluated, left to right; all of them are
};

struct EvaluateOptions {
  // In standard errors of the difference of both sides: a comparison other than == and != holds when it
  // would hold with the difference moved by that much in its favour (negative: against it).
  double tolerance = 0;
  // 0..1, instead of `tolerance`: such a comparison does not hold only where it is refuted, that is, where
  // the whole two-sided interval of the difference lies on its wrong side. 0: not used. A confidence that is
  // written in the expression wins over both.
  double confidence = 0;
  // Covariance of the estimates of two metrics; without it they count as independent. Called with the names
  // in any order, and with two equal names never.
  std::function<double(const std::string&, const std::string&)> covariance;
};

class Expression {
 public:
  // Refuses what is not a requirement: kInvalid, with the column, the text and a caret below it.
  static Result<Expression> Parse(std::string_view text);
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

  const std::string& text() const { return text_; }
  // Names of metrics in order of appearance, each once.
  std::vector<std::string> Names() const;

  // `resolve` gives a metric's value or says why it has none; its error is returned with text and caret.
  // A comparison with NaN, or a division by zero, is an error too.
  Result<Evaluation> Evaluate(const std::function<Result<Uncertain>(const std::string& name)>& resolve,
                              const EvaluateOptions& options = {}) const;

 private:
  Expression(std::string text, std::unique_ptr<ExpressionNode> root);
  std::string text_;
  std::unique_ptr<ExpressionNode> root_;
};

}  // namespace genflow::eval
