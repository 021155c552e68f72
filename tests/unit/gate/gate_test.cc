#include "eval/gate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace genflow::eval {
namespace {

std::vector<NamedReport> Reports() {
  Report quality;
  quality.title = "Perplexity";
  quality.Set({.name = "perplexity", .value = 20.1, .stderr_value = 0.3, .n = 50});
  quality.Set({.name = "baseline.perplexity", .value = 22.4, .stderr_value = 0.4, .n = 50});
  quality.Set({.name = "loss", .value = 3});
  quality.Set({.name = "broken", .value = std::nan("")});
  Report answers;
  answers.Set({.name = "loss", .value = 2});
  answers.Set({.name = "guard.pass_rate", .value = 0.85, .stderr_value = 0.05, .n = 40});
  return {{"quality", quality}, {"answers", answers}};
}

std::string Message(const std::vector<std::string>& requirements, double tolerance = 0) {
  return GateMessage(Judge(requirements, Reports(), {.tolerance = tolerance}));
}

TEST(Gate, AllMet) {
  EXPECT_EQ(
      Message({"perplexity < baseline.perplexity", "guard.pass_rate > 0.8", "quality.loss > answers.loss"}),
      "");
}

TEST(Gate, FailureShowsTheNumbers) {
  EXPECT_EQ(Message({"perplexity < baseline.perplexity * 0.75"}),
            "the requirement is not met:\n"
            "  perplexity < baseline.perplexity * 0.75\n"
            "    perplexity = 20.10 ± 0.30, baseline.perplexity = 22.40 ± 0.40\n"
            "    20.10 ± 0.30 >= 16.80 ± 0.30");
}

TEST(Gate, EveryFailureIsListed) {
  EXPECT_EQ(Message({"perplexity < 10 or perplexity > 30", "guard.pass_rate >= 0.8",
                     "abs(answers.loss - quality.loss) < 0.5"}),
            "2 of 3 requirements are not met:\n"
            "  perplexity < 10 or perplexity > 30\n"
            "    perplexity = 20.10 ± 0.30\n"
            "    20.10 ± 0.30 >= 10\n"
            "    20.10 ± 0.30 <= 30\n"
            "  abs(answers.loss - quality.loss) < 0.5\n"
            "    answers.loss = 2, quality.loss = 3\n"
            "    1 >= 0.5");
}

TEST(Gate, UnknownAmbiguousAndBrokenMetricsFail) {
  EXPECT_EQ(Message({"perplexit < 30"}),
            "the requirement is not met:\n"
            "  perplexit < 30\n"
            "    column 1: unknown metric 'perplexit'\n"
            "        perplexit < 30\n"
            "        ^~~~~~~~~\n"
            "    hint: did you mean 'perplexity'?");
  EXPECT_EQ(Message({"loss < 30"}),
            "the requirement is not met:\n"
            "  loss < 30\n"
            "    column 1: metric 'loss' is in several reports\n"
            "        loss < 30\n"
            "        ^~~~\n"
            "    hint: write 'quality.loss' or 'answers.loss'");
  EXPECT_EQ(Message({"1 < zzzzzzzz"}),
            "the requirement is not met:\n"
            "  1 < zzzzzzzz\n"
            "    column 5: unknown metric 'zzzzzzzz'\n"
            "        1 < zzzzzzzz\n"
            "            ^~~~~~~~\n"
            "    hint: the reports hold perplexity, baseline.perplexity, loss, broken, guard.pass_rate");
  EXPECT_EQ(Message({"broken < 1", "loss <"}),
            "2 of 2 requirements are not met:\n"
            "  broken < 1\n"
            "    column 1: this is not a number (NaN), so nothing can be compared with it\n"
            "        broken < 1\n"
            "        ^~~~~~\n"
            "  loss <\n"
            "    column 7: expected a number, a metric or '(', found the end\n"
            "        loss <\n"
            "              ^");
}

TEST(Gate, AMetricOfAStageThatHasAMatrixIsNamedByAChild) {
  Report eight, sixteen;
  eight.Set({.name = "acc", .value = 0.5});
  eight.Set({.name = "my loss", .value = 1});
  sixteen.Set({.name = "acc", .value = 0.7});
  sixteen.Set({.name = "my loss", .value = 1});
  const std::vector<NamedReport> reports = {{"ev[r=8]", eight}, {"ev[r=16]", sixteen}};
  EXPECT_EQ(GateMessage(Judge({"ev.acc > 0.4"}, reports, {})),
            "the requirement is not met:\n"
            "  ev.acc > 0.4\n"
            "    column 1: unknown metric 'ev.acc'\n"
            "        ev.acc > 0.4\n"
            "        ^~~~~~\n"
            "    hint: 'ev' has a matrix: write \"ev[r=8].acc\"");
  EXPECT_EQ(GateMessage(Judge({"\"ev[r=16].acc\" > \"ev[r=8].acc\""}, reports, {})), "");
  EXPECT_EQ(GateMessage(Judge({"zzzzzzzz > 0"}, reports, {})),
            "the requirement is not met:\n"
            "  zzzzzzzz > 0\n"
            "    column 1: unknown metric 'zzzzzzzz'\n"
            "        zzzzzzzz > 0\n"
            "        ^~~~~~~~\n"
            "    hint: the reports hold acc, my loss");
}

TEST(Gate, Tolerance) {
  EXPECT_EQ(Message({"guard.pass_rate >= 0.89"}, 1), "");
  EXPECT_EQ(Message({"guard.pass_rate >= 0.92"}, 1),
            "the requirement is not met:\n"
            "  guard.pass_rate >= 0.92\n"
            "    guard.pass_rate = 0.850 ± 0.050\n"
            "    0.850 ± 0.050 < 0.92 (with a tolerance of 1 standard errors)");
}

TEST(Gate, CheckBeforeTheRun) {
  EXPECT_EQ(CheckRequirements({"a < 1", "b > 2 and c < 1"}), "");
  EXPECT_EQ(CheckRequirements({}), "require is empty: a gate needs at least one requirement");
  EXPECT_EQ(CheckRequirements({"a <", "b > 2", "0 < c < 1"}),
            "require[0], column 4: expected a number, a metric or '(', found the end\n    a <\n       ^\n"
            "require[2], column 7: comparisons do not chain\n    0 < c < 1\n          ^\n"
            "    hint: write 'a < b and b < c'");
}

TEST(Gate, ReportHasARowARequirement) {
  const Report report = GateReport(Judge({"perplexity < 30", "perplexit < 1"}, Reports(), {}), Reports());
  EXPECT_EQ(report.Find("gate.met")->value, 1);
  EXPECT_EQ(report.Find("gate.required")->value, 2);
  ASSERT_EQ(report.tables.size(), 1u);
  EXPECT_EQ(
      report.tables[0].rows[0],
      (std::vector<std::string>{"perplexity < 30", "yes", "perplexity = 20.10 ± 0.30; 20.10 ± 0.30 < 30",
                                "-9.90 [-10.49, -9.31] at 95%"}));
  EXPECT_EQ(report.tables[0].rows[1][1], "error");
  EXPECT_EQ(report.facts[0].second, "quality, answers");
}

}  // namespace
}  // namespace genflow::eval
