#include "cli/junit.h"

#include <gtest/gtest.h>

#include "testing/junit_check.h"
#include "testing/scratch.h"
#include "unit/cli/ci_outcomes.h"

namespace genflow::cli {
namespace {

TEST(Junit, AStageOfEachKind) {
  XmlElement suite;
  ASSERT_EQ(CheckJunit(RenderJunit(MixedOutcome()), &suite), "");
  EXPECT_EQ(suite.Get("name"), "demo");
  EXPECT_EQ(suite.Get("tests"), "4");
  EXPECT_EQ(suite.Get("failures"), "1");
  EXPECT_EQ(suite.Get("skipped"), "1");
  EXPECT_EQ(suite.Get("time"), "12.500");
  EXPECT_EQ(suite.Get("timestamp"), "2025-11-24T16:00:00");
  std::string properties;
  for (const auto& property : suite.children[0].children)
    properties += property.Get("name") + "=" + property.Get("value") + "\n";
  EXPECT_EQ(properties,
            "genflow.pipeline=flows/demo.yaml\ngenflow.run=20261124-1607-ab12\ngenflow.status=failed\n");

  const XmlElement cached = FindCase(suite, "pages", "demo");
  EXPECT_EQ(cached.Get("time"), "0.000") << "not what it took at the time";
  EXPECT_EQ(cached.All("system-out")[0]->text, "cached: computed in run 20261123-0000-aaaa");
  EXPECT_EQ(FindCase(suite, "clean").All("system-out")[0]->text, "Kept **10** rows");
  EXPECT_EQ(FindCase(suite, "clean").Get("time"), "1.500");
  EXPECT_EQ(FindCase(suite, "quality").All("skipped")[0]->Get("message"), "needs 'tune', which failed");
  const XmlElement failed = FindCase(suite, "tune");
  ASSERT_EQ(failed.All("failure").size(), 1u);
  EXPECT_EQ(failed.children[0].Get("message"), "no rows in <data>");
  EXPECT_EQ(failed.children[0].Get("type"), "invalid");
  EXPECT_EQ(failed.children[0].text,
            "no rows in <data>\nsecond line\n  hint: add \"some\"\nlast lines of its log:\nreading\n"
            "::set-output name=x::y red\nbad \xEF\xBF\xBD\xEF\xBF\xBD bytes");
}

TEST(Junit, RequirementsAreCasesOfTheirOwn) {
  const ScratchFolder scratch;
  RunOutcome outcome = MixedOutcome();
  outcome.report->status = RunStatus::kGated;
  outcome.report->stages = {GateStage(scratch.path(), StageStatus::kGated)};
  XmlElement suite;
  ASSERT_EQ(CheckJunit(RenderJunit(outcome), &suite), "");
  EXPECT_EQ(suite.Get("tests"), "4");
  EXPECT_EQ(suite.Get("failures"), "2");
  EXPECT_EQ(FindCase(suite, "gate", "demo").children[0].Get("message"), "1 of 3 requirements is not met");
  EXPECT_EQ(FindCase(suite, "gate", "demo").children[0].Get("type"), "gate");
  EXPECT_EQ(FindCase(suite, "rouge < 0.5 | 1", "demo.gate").children[0].text,
            "rouge = 0.4; 0.4 < 0.5\ndifference: -0.1");
  const XmlElement unmet = FindCase(suite, "rouge >= baseline.rouge at 95%", "demo.gate");
  EXPECT_EQ(unmet.children[0].name, "failure");
  EXPECT_EQ(unmet.children[0].Get("message"), "not met: rouge >= baseline.rouge at 95%");
  EXPECT_EQ(FindCase(suite, "a > baseline.a", "demo.gate").children[0].name, "skipped");
}

TEST(Junit, ARunThatDidNotBegin) {
  RunOutcome locked;
  locked.file = "demo.yaml";
  locked.pipeline = "demo";
  locked.error = MakeError(Code::kBusy, "another run of this pipeline goes on", "wait for it");
  XmlElement suite;
  ASSERT_EQ(CheckJunit(RenderJunit(locked), &suite), "");
  EXPECT_EQ(suite.Get("errors"), "1");
  EXPECT_EQ(FindCase(suite, "run", "demo").children[0].Get("message"),
            "another run of this pipeline goes on");
  EXPECT_EQ(FindCase(suite, "run", "demo").children[0].text,
            "another run of this pipeline goes on\n  hint: wait for it");

  RunOutcome invalid;
  invalid.file = "flows/demo.yaml";
  const SourceText source("flows/demo.yaml", "stages:\n  a: { usees: x & y }\n");
  invalid.diagnostics = {source.Report({2, 8, 5}, "unknown key 'usees'", "did you mean 'uses'?"),
                         source.Report({1, 1, 6}, "only a warning", "", Severity::kWarning)};
  ASSERT_EQ(CheckJunit(RenderJunit(invalid), &suite), "");
  EXPECT_EQ(suite.Get("name"), "demo.yaml");
  EXPECT_EQ(suite.Get("tests"), "1");
  const XmlElement mistake = FindCase(suite, "flows/demo.yaml:2:8", "demo.yaml.file");
  EXPECT_EQ(mistake.children[0].Get("message"), "unknown key 'usees'");
  EXPECT_EQ(mistake.children[0].text, RenderDiagnostic(invalid.diagnostics[0]));
}

TEST(Junit, TheCheckerFindsWhatIsWrong) {
  const std::string good = RenderJunit(MixedOutcome());
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return CheckJunit(text.replace(at, from.size(), to));
  };
  EXPECT_EQ(changed(" failures=\"1\"", " failures=\"2\""), "testsuites says 4 2 0, there are 4 1 0");
  EXPECT_EQ(changed("&lt;data&gt;", "<data>").substr(0, 26), "a raw character in a value");
  EXPECT_EQ(changed("Kept", "Ke\x01t").substr(0, 38), "a character that XML does not allow at");
  EXPECT_EQ(changed("time=\"12.500\"", "time=\"12,5\""), "testsuites's time is '12,5'");
  EXPECT_EQ(changed("</testsuites>", "").substr(0, 23), "an element does not end");
}

TEST(CleanReportText, EscapesBytesAndLineBreaks) {
  EXPECT_EQ(CleanReportText("a\x1b[1;31mred\x1b[0m\r\nb\rc\td"), "ared\nb\nc\td");
  EXPECT_EQ(CleanReportText("\x1b]8;;http://x\aname\x1b]8;;\x1b\\!\x1b"), "name!");
  EXPECT_EQ(CleanReportText(std::string("\0\x7f", 2)), "\xEF\xBF\xBD\x7f");
  EXPECT_EQ(
      CleanReportText("\xC3\xA9 \xF0\x9F\x99\x82 \xED\xA0\x80 \xEF\xBF\xBF \xC0\xAF"),
      "\xC3\xA9 \xF0\x9F\x99\x82 \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD "
      "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(LastLogLines, FromTheFileAndAtMostSoMany) {
  const ScratchFolder scratch;
  StageResult stage;
  stage.log_tail = {"from the tail"};
  EXPECT_EQ(LastLogLines(stage, 5), (std::vector<std::string>{"from the tail"}));
  stage.log = scratch / "log";
  ASSERT_TRUE(WriteFileAtomic(stage.log, "1\n2\n3\n").ok());
  EXPECT_EQ(LastLogLines(stage, 5), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(LastLogLines(stage, 2), (std::vector<std::string>{"2", "3"}));
}

}  // namespace
}  // namespace genflow::cli
