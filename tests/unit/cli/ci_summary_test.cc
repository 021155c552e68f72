#include "cli/ci_summary.h"

#include <gtest/gtest.h>

#include "testing/scratch.h"
#include "unit/cli/ci_outcomes.h"

namespace genflow::cli {
namespace {

TEST(CiSummary, StagesFailuresAndSummaries) {
  EXPECT_EQ(RenderCiSummary(MixedOutcome()),
            "## demo: failed in 12.2 s\n\nRun `20261124-1607-ab12`.\n\n"
            "| stage | status | time | note |\n|---|---|---|---|\n"
            "| pages | cached |  | from run 20261123-0000-aaaa |\n"
            "| clean | ran | 1.5 s |  |\n"
            "| tune | **failed** | 1.5 s | no rows in &lt;data> |\n"
            "| quality | skipped |  | needs 'tune', which failed |\n"
            "\n### `tune` failed\n\n```text\nno rows in <data>\nsecond line\n  hint: add \"some\"\n```\n"
            "\nThe last lines of its log:\n\n```text\nreading\n::set-output name=x::y red\n"
            "bad \xEF\xBF\xBD\xEF\xBF\xBD bytes\n```\n"
            "\n### `clean`\n\nKept **10** rows\n");
}

TEST(CiSummary, GateAgainstTheBaseline) {
  const ScratchFolder scratch;
  RunOutcome outcome = MixedOutcome();
  outcome.report->status = RunStatus::kGated;
  outcome.report->stages = {GateStage(scratch.path(), StageStatus::kGated)};
  EXPECT_EQ(
      RenderCiSummary(outcome),
      "## demo: the gate said no in 12.2 s\n\nRun `20261124-1607-ab12`.\n\n"
      "| stage | status | time | note |\n|---|---|---|---|\n"
      "| gate | **gated** | 1.5 s | 1 of 3 requirements is not met |\n"
      "\n### Gate `gate`\n\n"
      "| requirement | met | difference | numbers |\n|---|---|---|---|\n"
      "| rouge &lt; 0.5 \\| 1 | yes | -0.1 | rouge = 0.4; 0.4 &lt; 0.5 |\n"
      "| rouge >= baseline.rouge at 95% | **no** | -0.020 \\[-0.022, -0.018\\] at 95% | 0.4 is refuted |\n"
      "| a > baseline.a | no baseline |  | not judged: there is no baseline yet |\n"
      "\nAgainst the baseline:\n\n"
      "| metric | now | baseline | change \\[95%\\] | samples |  |\n|---|---|---|---|---|---|\n"
      "| rouge | 0.4 | 0.42 | -0.020 \\[-0.022, -0.018\\] | 100 paired | **worse** |\n"
      "\n### `gate` said no\n\n```text\n1 of 3 requirements is not met:\n  x\n```\n");
}

TEST(CiSummary, WhatDidNotRun) {
  RunOutcome outcome;
  outcome.file = "demo.yaml";
  outcome.error = MakeError(Code::kBusy, "another run goes on");
  EXPECT_EQ(RenderCiSummary(outcome), "## demo.yaml: did not run\n\n```text\nanother run goes on\n```\n");
  outcome.error.reset();
  const SourceText source("demo.yaml", "a: 1\n");
  outcome.diagnostics = {source.Report({1, 1, 1}, "unknown key 'a'")};
  EXPECT_EQ(RenderCiSummary(outcome),
            "## demo.yaml: invalid pipeline\n\n```text\n" + RenderDiagnostics(outcome.diagnostics) + "```\n");
}

TEST(CiSummary, NothingBreaksOutOfItsBlock) {
  RunOutcome outcome = MixedOutcome();
  outcome.report->stages[2].log_tail = {"```", "````", "<script>"};
  outcome.report->stages[1].summary = "<script>alert(1)</script>";
  const std::string text = RenderCiSummary(outcome);
  EXPECT_NE(text.find("\n`````text\n```\n````\n<script>\n`````\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n### `clean`\n\n&lt;script>alert(1)&lt;/script>\n"), std::string::npos) << text;
}

TEST(CiSummary, IsCutWhereItIsTooLong) {
  RunOutcome outcome = MixedOutcome();
  for (int i = 0; i < 30; ++i) {
    outcome.report->stages[1].stage = "clean" + std::to_string(i);
    outcome.report->stages[1].summary.assign(50000, 'x');
    outcome.report->stages.push_back(outcome.report->stages[1]);
  }
  const std::string text = RenderCiSummary(outcome);
  EXPECT_LE(text.size(), kMaxCiSummary);
  EXPECT_TRUE(text.ends_with("\n\n(cut: the rest is in the log and the JUnit report)\n"));
}

}  // namespace
}  // namespace genflow::cli
