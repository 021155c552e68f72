#include "eval/expression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace genflow::eval {
namespace {

Result<Uncertain> Resolve(const std::string& name) {
  static const std::map<std::string, Uncertain> values = {
      {"perplexity", {12, 0.04}}, {"baseline.perplexity", {20, 0.09}}, {"rate", {0.9, 0}}, {"a-b.c", {5, 0}},
      {"zero", {0, 0}},           {"bad", {std::nan(""), 0}}};
  const auto at = values.find(name);
  if (at == values.end()) return InvalidError("unknown metric '" + name + "'", "did you mean 'rate'?");
  return at->second;
}

// "true", "false" or the error.
std::string Judge(std::string_view text, double tolerance = 0, double confidence = 0) {
  const auto expression = Expression::Parse(text);
  if (!expression.ok()) return expression.error().ToString();
  const auto result =
      expression->Evaluate(Resolve, {.tolerance = tolerance, .confidence = confidence, .covariance = {}});
  if (!result.ok()) return result.error().ToString();
  return result->holds ? "true" : "false";
}

TEST(Expression, Values) {
  const std::pair<const char*, const char*> cases[] = {
      {"perplexity < baseline.perplexity * 0.75", "true"},
      {"perplexity < baseline.perplexity * 0.5", "false"},
      {"rate >= 0.9", "true"},
      {"rate > 0.9", "false"},
      {"rate == .9 and rate != 1", "true"},
      {"1 + 2 * 3 == 7", "true"},
      {"(1 + 2) * 3 == 9", "true"},
      {"10 - 2 - 3 == 5", "true"},
      {"8 / 4 / 2 == 1", "true"},
      {"-2 * -3 == 6", "true"},
      {"--1 == 1", "true"},
      {"1 < 2 or 1 < 0 and 1 < 0", "true"},
      {"not 1 < 0", "true"},
      {"not (1 < 2 and 2 < 3)", "false"},
      {"not not 1 < 2", "true"},
      {"min(3, 1, 2) == 1 and max(3, 1, 2) == 3", "true"},
      {"abs(perplexity - baseline.perplexity) == 8", "true"},
      {"\"a-b.c\" == 5 and 'a-b.c' == 5", "true"},
      {"1e-3 < 2E+2", "true"},
      {"  rate\n>\t0  ", "true"},
      {"(rate) > (0)", "true"},
      {"((rate > 0))", "true"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Judge(text), expected) << text;
}

TEST(Expression, SyntaxErrorsPointAtTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "column 1: the requirement is empty\n    \n    ^"},
      {"rate <", "column 7: expected a number, a metric or '(', found the end\n    rate <\n          ^"},
      {"rate < < 3", "column 8: expected a number, a metric or '(', found '<'\n    rate < < 3\n           ^"},
      {"rate",
       "column 1: a requirement compares, but this is a number\n    rate\n    ^~~~\n"
       "  hint: compare it, as in 'rate < 1.5'"},
      {"(rate > 1", "column 10: expected ')', found the end\n    (rate > 1\n             ^"},
      {"rate > 1)", "column 9: expected '(' before it, found ')'\n    rate > 1)\n            ^"},
      {"rate > 1 loss",
       "column 10: expected an operator or the end, found 'loss'\n    rate > 1 loss\n             ^~~~"},
      {"0 < rate < 1",
       "column 10: comparisons do not chain\n    0 < rate < 1\n             ^\n"
       "  hint: write 'a < b and b < c'"},
      {"rate = 1", "column 6: '=' does not compare\n    rate = 1\n         ^\n  hint: write '=='"},
      {"rate > 1 && 2 > 1",
       "column 10: unknown operator '&&'\n    rate > 1 && 2 > 1\n             ^~\n  hint: write 'and'"},
      {"rate > 90%",
       "column 10: unknown operator '%'\n    rate > 90%\n             ^\n  hint: write 90% as 0.9"},
      {"rate > 1.2.3", "column 8: '1.2.3' is not a number\n    rate > 1.2.3\n           ^~~~~"},
      {"rate > 3x", "column 8: '3x' is not a number\n    rate > 3x\n           ^~"},
      {"rate ≥ 1", "column 6: unexpected character '≥'\n    rate ≥ 1\n         ^"},
      {"mix(1, 2) > 0",
       "column 1: unknown function 'mix'\n    mix(1, 2) > 0\n    ^~~\n  hint: did you mean 'min'?"},
      {"abs(1, 2) > 0", "column 1: abs takes one argument, not 2\n    abs(1, 2) > 0\n    ^~~~~~~~~"},
      {"min() > 0", "column 5: expected a number, a metric or '(', found ')'\n    min() > 0\n        ^"},
      {"rate and rate > 1",
       "column 1: 'and' joins comparisons, but this is a number\n    rate and rate > 1\n    ^~~~"},
      {"(rate > 1) + 1 > 0",
       "column 1: '+' needs numbers, but this is a comparison\n    (rate > 1) + 1 > 0\n    ^~~~~~~~~~\n"
       "  hint: join comparisons with 'and'"},
      {"not rate", "column 5: 'not' joins comparisons, but this is a number\n    not rate\n        ^~~~"},
      {"'open > 1", "column 1: this quoted name does not end\n    'open > 1\n    ^~~~~~~~~"},
      {"rate. > 1", "column 1: 'rate.' is not a metric's name\n    rate. > 1\n    ^~~~~"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Judge(text), expected) << text;
}

TEST(Expression, EvaluationErrorsPointAtTheirPlace) {
  EXPECT_EQ(Judge("1 < rte * 2"),
            "column 5: unknown metric 'rte'\n    1 < rte * 2\n        ^~~\n  hint: did you mean 'rate'?");
  EXPECT_EQ(Judge("1 / zero > 1"), "column 5: division by zero\n    1 / zero > 1\n        ^~~~");
  EXPECT_EQ(Judge("not bad > 1"),
            "column 5: this is not a number (NaN), so nothing can be compared with it\n"
            "    not bad > 1\n        ^~~");
  EXPECT_EQ(Judge("min(1, bad) < 2"),
            "column 1: this is not a number (NaN), so nothing can be compared with it\n"
            "    min(1, bad) < 2\n    ^~~~~~~~~~~");
}

// perplexity is 12 +- 0.2, baseline 20 +- 0.3: the difference has a standard error of 0.3606.
TEST(Expression, ToleranceInStandardErrors) {
  EXPECT_EQ(Judge("perplexity < 11.7"), "false");
  EXPECT_EQ(Judge("perplexity < 11.7", 2), "true");
  EXPECT_EQ(Judge("perplexity < 11.5", 2), "false");
  EXPECT_EQ(Judge("perplexity < 12.3", -2), "false");
  EXPECT_EQ(Judge("perplexity < 12.5", -2), "true");
  EXPECT_EQ(Judge("baseline.perplexity - perplexity > 8.3"), "false");
  EXPECT_EQ(Judge("baseline.perplexity - perplexity > 8.3", 1), "true");
  EXPECT_EQ(Judge("baseline.perplexity - perplexity > 8.4", 1), "false");
  EXPECT_EQ(Judge("not perplexity >= 11.7", 2), "true") << "'not' keeps the tolerance on the lenient side";
  EXPECT_EQ(Judge("rate > 0.9", 5), "false") << "without a standard error there is no slack";
}

// The difference has a standard error of 0.2: its 95% interval is +-0.392, its 50% interval +-0.135.
TEST(Expression, Confidence) {
  EXPECT_EQ(Judge("perplexity < 11.7 at 95%"), "true");
  EXPECT_EQ(Judge("perplexity < 11.6 at 95 %"), "false");
  EXPECT_EQ(Judge("perplexity < 11.7 at 50%"), "false");
  EXPECT_EQ(Judge("perplexity < 12.3 proven at 95%"), "false");
  EXPECT_EQ(Judge("perplexity < 12.4 proven at 95%"), "true");
  EXPECT_EQ(Judge("not perplexity >= 11.7 at 95%"), "true");
  EXPECT_EQ(Judge("not perplexity >= 12.3 proven at 95%"), "false");
  EXPECT_EQ(Judge("perplexity < 11.7", 0, 0.95), "true");
  EXPECT_EQ(Judge("perplexity < 11.7 proven at 95%", 0, 0.95), "false") << "what is written wins";
  EXPECT_EQ(Judge("rate > 0.9 at 99.9%"), "false") << "without a standard error there is no slack";
  EXPECT_EQ(Judge("perplexity < 11.7 at 95% and rate < 1"), "true");
}

TEST(Expression, ConfidenceThatIsNotUnderstood) {
  EXPECT_EQ(
      Judge("rate > 1 at 0.95"),
      "column 17: expected '%', as in 'at 95%', found the end\n    rate > 1 at 0.95\n                    ^");
  EXPECT_EQ(Judge("rate > 1 at 30%"),
            "column 13: a confidence is from 50% to less than 100%\n    rate > 1 at 30%\n                ^~");
  EXPECT_EQ(
      Judge("rate == 1 at 95%"),
      "column 11: a confidence goes with <, <=, > and >= alone\n    rate == 1 at 95%\n              ^~");
  EXPECT_EQ(Judge("rate > 1 proven"),
            "column 16: expected 'at', as in 'proven at 95%', found the end\n    rate > 1 proven\n"
            "                   ^");
}

// A metric on both sides is one estimate, not two independent ones.
TEST(Expression, WhatBothSidesShareCancels) {
  const auto expression = Expression::Parse("perplexity < perplexity * 1.1");
  const auto result = expression->Evaluate(Resolve);
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(std::sqrt(result->comparisons[0].difference.variance), 0.1 * 0.2, 1e-12);
}

TEST(Expression, NamesInOrder) {
  EXPECT_EQ(Expression::Parse("b > a and min(b, 'c-d') < abs(e.f)")->Names(),
            (std::vector<std::string>{"b", "a", "c-d", "e.f"}));
}

TEST(Expression, DeepNestingAndLengthAreRefused) {
  EXPECT_EQ(Expression::Parse(std::string(300, '(') + "1").error().message.substr(0, 30),
            "column 202: nested too deeply\n");
  EXPECT_EQ(Judge(std::string(5000, ' ') + "rate > 0"), "the requirement is longer than 4096 bytes");
}

}  // namespace
}  // namespace genflow::eval
