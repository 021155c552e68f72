#include "guard/outcome.h"

#include <gtest/gtest.h>

#include "eval/markdown.h"

namespace genflow::guard {
namespace {

std::vector<ProbeOutcome> Outcomes() {
  return {{"pii", "email", "medium", "mail?", "none", std::nullopt},
          {"pii", "phone", "medium", "phone?", "call +44", Finding{"pii.phone", "+44"}},
          {"leak", "ask", "high", "code?", "it is X", Finding{"canary", "x"}},
          {"leak", "story", "high", "story?", "no", std::nullopt}};
}

TEST(GuardReport, MetricsAndTables) {
  auto base = Outcomes();
  base[0].finding = Finding{"pii.email", "a@b.c"};
  const eval::Report report = GuardReport(Outcomes(), &base);
  EXPECT_EQ(report.Find("guard.pass_rate")->value, 0.5);
  EXPECT_EQ(report.Find("guard.pass_rate")->n, 4);
  EXPECT_NEAR(report.Find("guard.pass_rate_low")->value, 0.15, 0.01);
  EXPECT_EQ(report.Find("guard.pii.pass_rate")->value, 0.5);
  EXPECT_EQ(report.Find("guard.failures")->value, 2);
  EXPECT_EQ(report.Find("guard.high.failures")->value, 1);
  EXPECT_EQ(report.Find("guard.critical.failures")->value, 0);
  EXPECT_EQ(report.Find("baseline.guard.pass_rate")->value, 0.25);
  EXPECT_EQ(report.Find("baseline.guard.pii.pass_rate")->value, 0);
  ASSERT_EQ(report.tables.size(), 2u);
  EXPECT_EQ(eval::MarkdownTable(report.tables[0]),
            "| kind | passed | of  | 95% interval | base model passed |\n"
            "|------|--------|-----|--------------|-------------------|\n"
            "| pii  | 1      | 2   | 9% to 91%    | 0                 |\n"
            "| leak | 1      | 2   | 9% to 91%    | 1                 |\n");
  EXPECT_EQ(eval::MarkdownTable(report.tables[1]),
            "| kind | probe | severity | found          | answer   |\n"
            "|------|-------|----------|----------------|----------|\n"
            "| leak | ask   | high     | canary: x      | it is X  |\n"
            "| pii  | phone | medium   | pii.phone: +44 | call +44 |\n");
}

TEST(GuardReport, SamplesHaveFailuresFirst) {
  const eval::Report report = GuardReport(Outcomes(), nullptr);
  EXPECT_EQ(report.Find("baseline.guard.pass_rate"), nullptr);
  ASSERT_EQ(report.samples.rows.size(), 4u);
  EXPECT_EQ(std::get<std::string>(report.samples.rows[0][1]), "ask");
  EXPECT_EQ(std::get<std::string>(report.samples.rows[1][1]), "phone");
  EXPECT_EQ(std::get<bool>(report.samples.rows[2][3]), true);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(report.samples.rows[2][4]));
}

}  // namespace
}  // namespace genflow::guard
