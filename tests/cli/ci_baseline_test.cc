// Gates that compare with what the pipeline does not make itself.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/judged.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

// The gate's report of the latest run.
nlohmann::json GateReport(const Sandbox& box) {
  const auto done = box.Genflow({"artifacts", "export", "gate.report", "gate-report"});
  EXPECT_EQ(done.code, 0) << done.err;
  const auto report = nlohmann::json::parse(box.Read("gate-report/report.json"));
  box.Shell("chmod -R u+w gate-report && rm -r gate-report");
  return report;
}

TEST(Baseline, TheFirstRunPassesWithoutOne) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged(kAgainstLatest, kNotWorse));
  const auto first = box.Genflow({"run"});
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.out.find("Gate: 2 requirements, 1 of them not judged: there is no baseline yet."),
            std::string::npos)
      << first.out;
  EXPECT_EQ(GateReport(box)["tables"][0]["rows"][1][1], "no baseline");
}

TEST(Baseline, WorseThanTheLatestGoodRunEndsWithThree) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged(kAgainstLatest, kNotWorse));
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto noise = box.Genflow({"run", "-p", "score=0.74"});
  EXPECT_EQ(noise.code, 0) << "0.06 worse is within the interval: " << noise.err;
  const auto worse = box.Genflow({"run", "-p", "score=0.6"});
  EXPECT_EQ(worse.code, 3);
  EXPECT_NE(worse.err.find("error: gate said no: 1 of 2 requirements is not met:\n"
                           "  score >= baseline.score - 0.05 at 95%\n"
                           "    score = 0.600 ± 0.010, baseline.score = 0.740 ± 0.010\n"
                           "    0.600 ± 0.010 >= 0.690 ± 0.010 is refuted at 95%: the difference is -0.090 "
                           "[-0.118, -0.062]\n"),
            std::string::npos)
      << worse.err;
  const auto report = GateReport(box);
  EXPECT_EQ(report["facts"]["baseline"], "measure");
  EXPECT_EQ(report["tables"][1]["rows"][0], nlohmann::json({"score", "0.600 ± 0.010", "0.740 ± 0.010",
                                                            "-0.140 [-0.168, -0.112]", "", "worse"}));
  EXPECT_NEAR(report["metrics"]["change.score"]["value"].get<double>(), -0.14, 1e-9);
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.6"}).code, 3) << "a gated run is no baseline";
}

TEST(Baseline, TheSameBaselineIsACacheHit) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged(kAgainstLatest, kNotWorse));
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto plan = box.Genflow({"plan"});
  EXPECT_TRUE(
      plan.out.starts_with("stage    action  why\n"
                           "measure  cached\n"
                           "gate     run     input 'baseline' is new: "))
      << plan.out;
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(box.Normal(box.Genflow({"run"}).out), "judged: nothing to do (2 stages cached, TIME)\n");
  const auto lineage = box.Genflow({"artifacts", "show", "gate.report"});
  EXPECT_NE(box.Normal(lineage.out).find("RUN:measure.report (report"), std::string::npos) << lineage.out;
}

TEST(Baseline, AMissingOneIsRefusedAtItsPlaceBeforeAnythingRuns) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("{ run: latest-ok }", kNotWorse));
  EXPECT_EQ(box.Genflow({"validate"}).code, 0) << "the file alone is right";
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.err,
            "pipeline.yaml:20:24: error: in.baseline: no run of 'judged' has succeeded yet\n"
            "   20 |       baseline: { run: latest-ok }\n"
            "      |                        ^~~~~~~~~\n"
            "  hint: `optional: true` goes on without it\n\n1 error\n");
  EXPECT_EQ(box.Genflow({"runs", "ls", "--json"}).out, "[]\n");
}

TEST(Baseline, AFileOfTheWorkspace) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("{ file: base/report.json }", "score > baseline.score"));
  const auto validate = box.Genflow({"validate"});
  EXPECT_EQ(validate.code, 2);
  EXPECT_EQ(
      box.Normal(validate.err),
      "pipeline.yaml:20:25: error: in.baseline: no such file or folder: base/report.json\n"
      "   20 |       baseline: { file: base/report.json }\n"
      "      |                         ^~~~~~~~~~~~~~~~\n"
      "  hint: it is looked for at DIR/base/report.json; `optional: true` goes on without it\n\n1 error\n");
  const auto with_score = [](const char* score) {
    return std::string(R"({"format": "genflow.report", "version": 1, "metrics": {"score": {"value": )") +
           score + "}}}";
  };
  box.Write("base/report.json", with_score("0.7"));
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  box.Write("base/report.json", with_score("0.9"));
  const auto changed = box.Genflow({"run"});
  EXPECT_EQ(changed.code, 3) << "its content counts in the key";
  EXPECT_NE(changed.err.find("score = 0.800 ± 0.010, baseline.score = 0.9\n"), std::string::npos)
      << changed.err;
  box.Write("pipeline.yaml", Judged("{ file: base }", "score > baseline.score - 0.2"));
  EXPECT_EQ(box.Genflow({"run"}).code, 0) << "its folder will do";
}

TEST(Baseline, AFileThatIsNoReportIsRefusedBeforeAnythingRuns) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("{ file: base, optional: true }", "score > baseline.score"));
  const auto refusal = [&](const std::string& text) {
    box.Write("base/report.json", text);
    const auto run = box.Genflow({"run"});
    EXPECT_EQ(run.code, 2);
    EXPECT_EQ(box.Genflow({"validate"}).code, 2);
    return run.err.substr(0, run.err.find("\n   20 |"));
  };
  EXPECT_EQ(refusal(""), "pipeline.yaml:20:25: error: in.baseline: base/report.json is empty");
  EXPECT_EQ(refusal("{"), "pipeline.yaml:20:25: error: in.baseline: base/report.json is not JSON");
  EXPECT_EQ(refusal(R"({"metrics": {}})"),
            "pipeline.yaml:20:25: error: in.baseline: base/report.json is not a report");
  EXPECT_FALSE(box.Exists(".genflow"));
}

TEST(Baseline, AReportWithoutItsFormatNamesItsStage) {
  Sandbox box;
  std::string text = Judged("", "score > 0.5");
  const std::string format = R"("format": "genflow.report", )";
  text.erase(text.find(format), format.size());
  box.Write("pipeline.yaml", text);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: gate: measure.report: not a report: its 'format' is not \"genflow.report\"\n"
                         "  hint: a report.json is {\"format\": \"genflow.report\", \"version\": 1, "),
            std::string::npos)
      << run.err;
}

TEST(Baseline, ARunByTagAndByItsId) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("", "score > 0"));
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"runs", "tag", "latest", "golden"}).code, 0);
  ASSERT_EQ(box.Genflow({"run", "-p", "score=0.5"}).code, 0);
  box.Write("pipeline.yaml", Judged("{ run: 'tag:golden' }", "score >= baseline.score"));
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.7"}).code, 3);
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.9"}).code, 0);
  const auto runs = box.Json({"runs", "ls", "--tag", "golden", "--json"});
  box.Write("pipeline.yaml",
            Judged("{ run: " + runs[0]["id"].get<std::string>() + ", output: measure.report }",
                   "score > baseline.measure.score"));
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.9"}).code, 0);
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.8"}).code, 3);
  box.Write("pipeline.yaml", Judged("{ run: 'tag:gold' }", "score >= baseline.score"));
  EXPECT_NE(box.Genflow({"run"}).err.find("in.baseline: no run has the tag 'gold'"), std::string::npos);
}

TEST(Baseline, TheRunOfARegisteredModel) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("", "score > 0"));
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  const auto done = box.Genflow({"models", "register", "helper", "measure.package", "--alias", "production"});
  ASSERT_EQ(done.code, 0) << done.err;
  ASSERT_EQ(box.Genflow({"run", "-p", "score=0.5"}).code, 0);
  box.Write("pipeline.yaml", Judged("{ model: helper@production }", "score >= baseline.score"));
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.7"}).code, 3);
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.8"}).code, 0);
  ASSERT_EQ(box.Genflow({"gc", "--keep-last", "1"}).code, 0);
  EXPECT_EQ(box.Genflow({"run", "-p", "score=0.8"}).code, 0) << "the run of a model with an alias is kept";
  box.Write("pipeline.yaml", Judged("{ model: helper@staging }", "score >= baseline.score"));
  EXPECT_NE(box.Genflow({"run"}).err.find("in.baseline: there is no model 'helper@staging'"),
            std::string::npos);
}

// Any stage may take any artifact this way.
TEST(Baseline, AnExecStageReadsARegisteredModel) {
  Sandbox box;
  box.Write("pipeline.yaml", Judged("", "score > 0"));
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"models", "register", "helper", "measure.package"}).code, 0);
  box.Write("other.yaml",
            "name: other\nstages:\n  a:\n    uses: exec\n    in:\n      package: { model: helper@1 }\n"
            "      none: { run: latest-ok, output: a.text, optional: true }\n"
            "    with: { run: 'cat \"$GENFLOW_IN_PACKAGE\" > \"$GENFLOW_OUT_TEXT\"; echo "
            "\"${GENFLOW_IN_NONE-none}\" >> \"$GENFLOW_OUT_TEXT\"' }\n    out: { text: file }\n");
  const auto run = box.Genflow({"run", "other.yaml"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Artifact("a.text"), "0.8\nnone\n");
}

}  // namespace
}  // namespace genflow
