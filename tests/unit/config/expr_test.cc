#include "config/expr.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

using nlohmann::json;

class Names : public ExprNames {
 public:
  NameValue Param(const std::string& name) override {
    const json params = {
        {"n", 3},      {"half", 0.5}, {"text", "Abc"}, {"list", {1, "b", 3}}, {"map", {{"k-1", {{"x", 9}}}}},
        {"off", false}};
    NameValue out;
    if (params.contains(name))
      out.value = params[name];
    else
      out.state = NameValue::State::kRefused, out.message = "no " + name;
    return out;
  }
  NameValue Env(const std::string& name) override {
    NameValue out;
    if (name == "HOME")
      out.value = "/home/u";
    else
      out.state = NameValue::State::kUnset, out.message = name + " is not set";
    return out;
  }
  NameValue Secret(const std::string&) override { return {.value = "${{ secrets.T#1 }}"}; }
  NameValue Output(const std::string& stage, const std::string& port) override {
    return {.value = "${{ stages." + stage + ".outputs." + port + " }}"};
  }
};

std::string Eval(const std::string& text) {
  Names names;
  const auto result = EvaluateExpression(text, names);
  if (const auto* problem = std::get_if<ExprProblem>(&result)) {
    return std::to_string(problem->offset) + "+" + std::to_string(problem->length) + ": " + problem->message;
  }
  const auto& value = std::get<ExprValue>(result);
  return value.value.dump() + (value.unset.empty() ? "" : " (" + value.unset + ")");
}

TEST(Expr, Literals) {
  EXPECT_EQ(Eval("null"), "null");
  EXPECT_EQ(Eval(" true "), "true");
  EXPECT_EQ(Eval("0x1F"), "31");
  EXPECT_EQ(Eval("1.5e-3"), "0.0015");
  EXPECT_EQ(Eval(".5"), "0.5");
  EXPECT_EQ(Eval("'it''s'"), "\"it's\"");
  EXPECT_EQ(Eval("''"), "\"\"");
}

TEST(Expr, ArithmeticKeepsIntegersExact) {
  EXPECT_EQ(Eval("1 + 2 * 3 - 4"), "3");
  EXPECT_EQ(Eval("(1 + 2) * 3"), "9");
  EXPECT_EQ(Eval("10 / 4"), "2.5");
  EXPECT_EQ(Eval("10 / 5"), "2");
  EXPECT_EQ(Eval("7 % 4"), "3");
  EXPECT_EQ(Eval("-params.n + 1"), "-2");
  EXPECT_EQ(Eval("9007199254740993 + 1"), "9007199254740994");
  EXPECT_EQ(Eval("'2' * '3'"), "6");
  EXPECT_EQ(Eval("true + 1"), "2");
}

TEST(Expr, EqualityIsLooseAsInGitHubActions) {
  EXPECT_EQ(Eval("'ABC' == params.text"), "true");
  EXPECT_EQ(Eval("1 == '1'"), "true");
  EXPECT_EQ(Eval("'' == 0"), "true");
  EXPECT_EQ(Eval("null == 0"), "true");
  EXPECT_EQ(Eval("true == 1"), "true");
  EXPECT_EQ(Eval("'x' == 0"), "false");
  EXPECT_EQ(Eval("'x' != 0"), "true");
  EXPECT_EQ(Eval("1 == 1.0"), "true");
  EXPECT_EQ(Eval("params.list == params.list"), "true");
}

TEST(Expr, Order) {
  EXPECT_EQ(Eval("2 < 10"), "true");
  EXPECT_EQ(Eval("'2' < '10'"), "false");
  EXPECT_EQ(Eval("'2' < 10"), "true");
  EXPECT_EQ(Eval("3 >= 3 && 3 <= 3 && !(3 > 3)"), "true");
  EXPECT_EQ(Eval("'x' < 1"), "false");
}

TEST(Expr, LogicGivesAnOperand) {
  EXPECT_EQ(Eval("params.off && 'a' || 'b'"), "\"b\"");
  EXPECT_EQ(Eval("'' || 0 || 'last'"), "\"last\"");
  EXPECT_EQ(Eval("'a' && 5"), "5");
  EXPECT_EQ(Eval("!'' && !null"), "true");
  EXPECT_EQ(Eval("env.NOPE || 'd'"), "\"d\"");
  EXPECT_EQ(Eval("env.NOPE"), "null (NOPE is not set)");
  EXPECT_EQ(Eval("env.HOME || 'd'"), "\"/home/u\"");
}

TEST(Expr, ASideThatIsLeftOutCannotFailButItsNamesAreChecked) {
  EXPECT_EQ(Eval("false && 1 / 0"), "false");
  EXPECT_EQ(Eval("true || params.list[9]"), "true");
  EXPECT_EQ(Eval("true || params.zip"), "15+3: no zip");
}

TEST(Expr, LooksIntoValues) {
  EXPECT_EQ(Eval("params.list[1]"), "\"b\"");
  EXPECT_EQ(Eval("params['map']['k-1'].x"), "9");
  EXPECT_EQ(Eval("params.map.k-1.x + params.list[params.n - 1]"), "12");
}

TEST(Expr, Functions) {
  EXPECT_EQ(Eval("contains(params.text, 'BC')"), "true");
  EXPECT_EQ(Eval("contains(params.list, 'B')"), "true");
  EXPECT_EQ(Eval("contains(params.list, 2)"), "false");
  EXPECT_EQ(Eval("startsWith('genflow', 'GEN')"), "true");
  EXPECT_EQ(Eval("endsWith('genflow', 'low')"), "true");
  EXPECT_EQ(Eval("format('{1}-{0} {{x}}', 'a', 2.50)"), "\"2.5-a {x}\"");
  EXPECT_EQ(Eval("join(params.list, '/')"), "\"1/b/3\"");
  EXPECT_EQ(Eval("join(params.list)"), "\"1,b,3\"");
  EXPECT_EQ(Eval("toJSON('a')"), "\"\\\"a\\\"\"");
  EXPECT_EQ(Eval("fromJSON('[1, 2]')[1]"), "2");
  EXPECT_EQ(Eval("length(params.list) + length('ab')"), "5");
}

TEST(Expr, PlaceholdersArePassedOn) {
  EXPECT_EQ(Eval("secrets.T"), "\"${{ secrets.T#1 }}\"");
  EXPECT_EQ(Eval("format('Bearer {0}', secrets.T)"), "\"Bearer ${{ secrets.T#1 }}\"");
  EXPECT_EQ(Eval("stages.a-b.outputs.c || 'x'"), "\"${{ stages.a-b.outputs.c }}\"");
  EXPECT_EQ(Eval("startsWith(secrets.T, 'h')"), "11+7: a secret cannot be compared or taken apart");
  EXPECT_EQ(Eval("stages.a.outputs.b == 1"), "19+2: the path of an output is only known during the run");
  EXPECT_EQ(Eval("stages.a.output.b"), "9+6: a stage has outputs, outcome and metrics, not 'output'");
}

TEST(Expr, ProblemsHaveTheirPlace) {
  EXPECT_EQ(Eval(""), "0+1: the expression is empty");
  EXPECT_EQ(Eval("1 +"), "3+1: the expression ends too early");
  EXPECT_EQ(Eval("a.b"), "0+1: unknown name 'a'");
  EXPECT_EQ(Eval("params"), "0+6: 'params' needs a name behind it");
  EXPECT_EQ(Eval("1 ; 2"), "2+1: unexpected ';'");
  EXPECT_EQ(Eval("'a"), "0+2: the text is not closed by '");
  EXPECT_EQ(Eval("format('{0}')"), "7+5: the format uses {0}, but has 0 values");
  EXPECT_EQ(Eval("1.2.3"), "0+5: '1.2.3' is not a number");
  EXPECT_EQ(Eval("'${{ secrets.T#1 }}'"), "0+20: text in an expression cannot hold '${{'");
  EXPECT_EQ(Eval(std::string(500, '(') + "1" + std::string(500, ')')),
            "100+1: the expression is nested too deeply");
  EXPECT_EQ(Eval(std::string(100'000, '!') + "1"), "100+1: the expression is nested too deeply");
}

TEST(Expr, FindsItsEnd) {
  EXPECT_EQ(FindExpressionEnd("${{ '}}' }} x", 3), 9u);
  EXPECT_EQ(FindExpressionEnd("${{ 'a }}", 3), std::string::npos);
}

}  // namespace
}  // namespace genflow
