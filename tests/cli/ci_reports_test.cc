// What `genflow run` leaves for CI systems, however it ends.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/judged.h"
#include "cli/sandbox.h"
#include "testing/junit_check.h"

namespace genflow {
namespace {

constexpr char kHang[] =
    "name: h\nstages:\n  hang:\n    uses: test.act\n    with: { do: sleep, seconds: 60 }\n"
    "  next:\n    uses: test.act\n    in: { in: hang.out }\n";

XmlElement Junit(const Sandbox& box, const std::string& file = "out/junit.xml") {
  XmlElement suite;
  EXPECT_EQ(CheckJunit(box.Read(file), &suite), "");
  return suite;
}

bool WaitForStart(const Sandbox& box) { return box.WaitFor("ls .genflow/logs/*/hang.* >/dev/null 2>&1"); }

TEST(CiReports, AGoodRun) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged(kAgainstLatest, kNotWorse));
  const auto run = box.Genflow({"run", "--junit", "out/junit.xml", "--summary", "out/summary.md",
                                "--code-quality", "out/quality.json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const XmlElement suite = Junit(box);
  EXPECT_EQ(suite.Get("name"), "judged");
  EXPECT_EQ(suite.Get("tests"), "4");
  EXPECT_EQ(suite.Get("failures") + suite.Get("errors"), "00");
  EXPECT_EQ(FindCase(suite, "score >= 0.5", "judged.gate").children[0].name, "system-out");
  EXPECT_EQ(FindCase(suite, "score >= baseline.score - 0.05 at 95%").children[0].Get("message"),
            "not judged: there is no baseline yet");
  const std::string summary = box.Normal(box.Read("out/summary.md"));
  EXPECT_TRUE(summary.starts_with("## judged: done in TIME\n\nRun `RUN`.\n\n| stage |")) << summary;
  EXPECT_NE(summary.find("| score >= 0.5 | yes | "), std::string::npos) << summary;
  EXPECT_EQ(box.Read("out/quality.json"), "[]\n");

  ASSERT_EQ(box.Genflow({"run", "--junit", "out/junit.xml"}).code, 0);
  const XmlElement again = Junit(box);
  EXPECT_EQ(box.Normal(FindCase(again, "measure", "judged").children[0].text).substr(0, 28),
            "cached: computed in run RUN");
  EXPECT_EQ(FindCase(again, "score >= baseline.score - 0.05 at 95%").children[0].name, "system-out");
}

TEST(CiReports, AGatedRun) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged(kAgainstLatest, kNotWorse));
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto run = box.Genflow(
      {"run", "-p", "score=0.4", "--junit", "out/junit.xml", "--summary", "out/summary.md", "--json"});
  EXPECT_EQ(run.code, 3);
  const XmlElement suite = Junit(box);
  EXPECT_EQ(suite.Get("failures"), "3") << "the gate and both requirements";
  EXPECT_EQ(FindCase(suite, "gate", "judged").children[0].Get("type"), "gate");
  EXPECT_EQ(FindCase(suite, "score >= 0.5", "judged.gate").children[0].text,
            "score = 0.400 ± 0.010; 0.400 ± 0.010 < 0.5\ndifference: -0.100 [-0.120, -0.080] at 95%");
  const std::string summary = box.Read("out/summary.md");
  EXPECT_NE(summary.find(
                "| score | 0.400 ± 0.010 | 0.800 ± 0.010 | -0.400 \\[-0.428, -0.372\\] |  | **worse** |\n"),
            std::string::npos)
      << summary;
}

TEST(CiReports, AFailedStageWithItsLogAndWhatItStopped) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("", "score > 0"));
  const auto run =
      box.Genflow({"run", "-p", "broken=true", "--junit", "out/junit.xml", "--summary", "out/summary.md"});
  EXPECT_EQ(run.code, 1);
  const XmlElement suite = Junit(box);
  const XmlElement failed = FindCase(suite, "measure", "judged");
  EXPECT_EQ(failed.children[0].Get("message"), "its command ended with exit code 7");
  EXPECT_NE(failed.children[0].text.find("the sensor is gone"), std::string::npos) << failed.children[0].text;
  EXPECT_EQ(FindCase(suite, "gate", "judged").children[0].Get("message"), "needs 'measure', which failed");
  EXPECT_EQ(suite.Get("skipped"), "1");
  EXPECT_NE(box.Read("out/summary.md").find("\n### `measure` failed\n"), std::string::npos);
}

TEST(CiReports, AnInvalidPipeline) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: p\nstages:\n  a:\n    uses: exec\n    wiht: { run: 'true' }\n");
  const auto run =
      box.Genflow({"run", "--junit", "junit.xml", "--summary", "summary.md", "--code-quality", "q.json"});
  EXPECT_EQ(run.code, 2);
  EXPECT_FALSE(box.Exists(".genflow"));
  const XmlElement suite = Junit(box, "junit.xml");
  EXPECT_EQ(suite.Get("name"), "pipeline.yaml");
  EXPECT_NE(suite.Get("failures"), "0");
  EXPECT_EQ(FindCase(suite, "pipeline.yaml:5:5", "pipeline.yaml.file").children[0].Get("message"),
            "unknown key 'wiht' in stage 'a'");
  EXPECT_TRUE(
      box.Read("summary.md").starts_with("## pipeline.yaml: invalid pipeline\n\n```text\npipeline.yaml:"));
  const auto quality = nlohmann::json::parse(box.Read("q.json"));
  EXPECT_EQ(quality[0]["location"]["path"], "pipeline.yaml");
  const auto validate = box.Genflow({"validate", "--code-quality", "v.json"});
  EXPECT_EQ(validate.code, 2);
  EXPECT_EQ(box.Read("v.json"), box.Read("q.json"));

  EXPECT_EQ(box.Genflow({"run", "none.yaml", "--junit", "junit.xml"}).code, 2);
  EXPECT_EQ(Junit(box, "junit.xml").Get("name"), "none.yaml");
}

TEST(CiReports, ALockedRun) {
  Sandbox box;
  box.Write("pipeline.yaml", kHang);
  auto first = box.Start({"run"});
  ASSERT_TRUE(WaitForStart(box));
  const auto second = box.Genflow({"run", "--junit", "out/junit.xml", "--summary", "out/summary.md"});
  EXPECT_EQ(second.code, 4);
  const XmlElement suite = Junit(box);
  EXPECT_EQ(suite.Get("errors"), "1");
  EXPECT_EQ(FindCase(suite, "run", "h").children[0].Get("type"), "busy");
  EXPECT_TRUE(box.Read("out/summary.md").starts_with("## h: did not run\n\n```text\n"));
  first.Signal(SIGTERM);
  first.Wait();
}

TEST(CiReports, AnInterruptedRun) {
  Sandbox box;
  box.Write("pipeline.yaml", kHang);
  auto run = box.Start({"run", "--junit", "out/junit.xml", "--summary", "out/summary.md"});
  ASSERT_TRUE(WaitForStart(box));
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait().code, 143);
  const XmlElement suite = Junit(box);
  EXPECT_EQ(FindCase(suite, "hang", "h").children[0].Get("type"), "interrupted");
  EXPECT_EQ(FindCase(suite, "next", "h").children[0].Get("message"), "the run was stopped");
  EXPECT_NE(box.Read("out/summary.md").find("## h: interrupted in "), std::string::npos);
}

TEST(CiReports, OneThatCannotBeWrittenIsAnError) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("", "score > 0"));
  box.Write("file", "");
  const auto run = box.Genflow({"run", "-q", "--junit", "file/junit.xml"});
  EXPECT_EQ(run.code, 1);
  EXPECT_TRUE(run.err.starts_with("error: --junit file/junit.xml: ")) << run.err;
  EXPECT_EQ(box.Genflow({"run", "-q", "--junit", "file/junit.xml", "-p", "score=-1"}).code, 3)
      << "another exit code stays";
}

TEST(CiReports, GitHubSeesAnnotationsAndASummary) {
  Sandbox box;
  box.SetEnv("GITHUB_ACTIONS", "true");
  box.SetEnv("GITHUB_WORKSPACE", box.dir().string());
  box.SetEnv("GITHUB_STEP_SUMMARY", (box.dir() / "step.md").string());
  box.Write("step.md", "before\n");
  box.Write("flows/pipeline.yaml", Judged("", "score > 0"));
  const auto run = box.Genflow({"run", "flows/pipeline.yaml", "-p", "broken=true", "--json"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("::group::log of measure (the last "), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("the sensor is gone\n"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("\n::endgroup::\n::error file=flows/pipeline.yaml,line=4,col=3,endColumn=10,"
                         "title=measure failed::its command ended with exit code 7\n"),
            std::string::npos)
      << run.err;
  EXPECT_EQ(run.out.find("::"), std::string::npos) << "standard output is for JSON";
  EXPECT_TRUE(box.Read("step.md").starts_with("before\n## judged: failed in ")) << box.Read("step.md");

  box.Write("flows/pipeline.yaml", "name: p\nstages:\n  a:\n    uses: exek\n");
  const auto validate = box.Genflow({"validate", "flows/pipeline.yaml"});
  EXPECT_NE(validate.err.find("\n::error file=flows/pipeline.yaml,line=4,col=11,endColumn=15,"),
            std::string::npos)
      << validate.err;
}

TEST(CiReports, GitLabSeesASection) {
  Sandbox box;
  box.SetEnv("GITLAB_CI", "true");
  box.Write("pipeline.yaml", Judged("", "score > 0"));
  const auto run = box.Genflow({"run", "-p", "broken=true"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find(":genflow_log_measure[collapsed=true]\r\x1b[0Klog of measure (the last "),
            std::string::npos)
      << run.err;
  EXPECT_EQ(run.err.find("::error"), std::string::npos);
}

}  // namespace
}  // namespace genflow
