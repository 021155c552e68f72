// Parameter files, profiles, and conditions and retries from the outside.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

constexpr char kText[] = R"(name: p
params: { word: one, times: 1 }
env: { MODE: plain }
profiles:
  ci: { params: { word: ci }, env: { MODE: short } }
stages:
  a:
    uses: exec
    with: { run: 'printf "%s %s %s" "$MODE" "${{ params.word }}" "${{ params.times }}" > "$GENFLOW_OUT_O"' }
    out: { o: file }
)";

class Params : public testing::Test {
 protected:
  void SetUp() override { box.Write("pipeline.yaml", kText); }
  std::string Output(std::vector<std::string> args) {
    args.insert(args.begin(), {"run", "--quiet"});
    const auto run = box.Genflow(args);
    EXPECT_EQ(run.code, 0) << run.err;
    return box.Artifact("a.o");
  }
  std::string Refusal(std::vector<std::string> args) {
    args.insert(args.begin(), "run");
    return box.Normal(box.Refusal(args));
  }
  Sandbox box;
};

TEST_F(Params, FilesAndProfiles) {
  box.Write("a.yaml", "word: from a\ntimes: 2\n");
  box.Write("b.yaml", "times: 3\n");
  EXPECT_EQ(Output({}), "plain one 1");
  EXPECT_EQ(Output({"--profile", "ci"}), "short ci 1");
  EXPECT_EQ(Output({"-f", "a.yaml", "-f", "b.yaml", "--profile", "ci"}), "short from a 3");
  EXPECT_EQ(Output({"-f", "b.yaml", "-f", "a.yaml", "-p", "word=given"}), "plain given 2");
}

TEST_F(Params, MistakesInFilesAreShownWhereTheyAre) {
  box.Write("a.yaml", "wrod: x\ntimes: many\n");
  EXPECT_EQ(Refusal({"-f", "a.yaml"}),
            "a.yaml:1:1: error: the pipeline has no parameter 'wrod'\n"
            "    1 | wrod: x\n"
            "      | ^~~~\n"
            "  hint: did you mean 'word'?\n\n"
            "a.yaml:2:8: error: times: expected a number, like the default 1\n"
            "    2 | times: many\n"
            "      |        ^~~~\n\n"
            "2 errors\n");
  EXPECT_EQ(Refusal({"--profile", "c1"}),
            "error: --profile c1: the pipeline has no profile 'c1'\n  hint: did you mean 'ci'?\n\n1 error\n");
}

TEST_F(Params, AConditionReadsAReport) {
  box.Write("pipeline.yaml", R"(name: p
params: { loss: 0.5 }
stages:
  measure:
    uses: exec
    with:
      run: |
        mkdir "$GENFLOW_OUT_REPORT"
        echo '{"metrics": {"loss": {"value": ${{ params.loss }}}}}' > "$GENFLOW_OUT_REPORT/report.json"
    out: { report: report }
  ship:
    uses: exec
    if: stages.measure.metrics.loss < 1
    with: { run: echo shipped }
  tell:
    uses: exec
    needs: [ship]
    if: stages.ship.outcome == 'skipped'
    with: { run: echo told }
)");
  const auto good = box.Genflow({"run"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(box.Genflow({"logs", "ship"}).code, 0);
  const auto bad = box.Genflow({"run", "-p", "loss=2.5"});
  EXPECT_EQ(bad.code, 0) << bad.err;
  EXPECT_NE(
      bad.out.find("its `if` is false: stages.measure.metrics.loss < 1 (stages.measure.metrics.loss is 2.5)"),
      std::string::npos)
      << bad.out;
  EXPECT_EQ(box.Genflow({"logs", "tell"}).code, 0);
}

TEST_F(Params, AFailureIsReportedAlthoughAReactionRan) {
  box.Write("pipeline.yaml", R"(name: p
stages:
  a: { uses: exec, with: { run: "exit 9" } }
  notify: { uses: exec, needs: [a], if: failure(), with: { run: "echo called >> notified" } }
)");
  EXPECT_EQ(box.Genflow({"run"}).code, 1);
  EXPECT_EQ(box.Genflow({"run"}).code, 1);
  EXPECT_EQ(box.Read("notified"), "called\ncalled\n");
}

}  // namespace
}  // namespace genflow
