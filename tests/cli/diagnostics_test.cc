// What commands say where something is not as it should be.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

TEST(Diagnostics, AParameterFileThatIsNotYamlIsShown) {
  Sandbox box;
  box.Write("p.yaml",
            "params: { n: 1 }\nstages:\n  a: { uses: exec, with: { run: 'echo ${{ params.n }}' } }\n");
  box.Write("m.yaml", "# values\nn: [1\n");
  const auto broken = box.Genflow({"validate", "p.yaml", "-f", "m.yaml"});
  EXPECT_EQ(broken.code, 2);
  EXPECT_EQ(broken.err,
            "m.yaml:2:7: error: not valid YAML: '[' is not closed by ']'\n"
            "    2 | n: [1\n"
            "      |      ^\n\n"
            "1 error\n");
  box.Write("m.yaml", "[1]\n");
  EXPECT_EQ(box.Genflow({"validate", "p.yaml", "-f", "m.yaml"}).err,
            "m.yaml:1:1: error: expected a mapping of parameters, got a list\n"
            "    1 | [1]\n"
            "      | ^\n\n"
            "1 error\n");
  EXPECT_EQ(box.Genflow({"validate", "p.yaml", "-f", "nope.yaml"}).err,
            "error: -f nope.yaml: No such file or directory\n\n"
            "1 error\n");
}

TEST(Diagnostics, EverythingThatIsWrongInParameterFilesIsShownAtOnce) {
  Sandbox box;
  box.Write("p.yaml",
            "params: { n: 1, word: }\nstages:\n  a:\n    uses: exec\n    retires: 2\n"
            "    with: { run: 'echo ${{ params.n }} ${{ params.word }}' }\n");
  box.Write("a.yaml", "n: 1\nn: many\nwrod: two\n");
  box.Write("b.yaml", "n: [1\n");
  const auto refused = box.Genflow({"run", "p.yaml", "-f", "a.yaml", "-f", "b.yaml", "-f", "c.yaml"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.err,
            "error: -f c.yaml: No such file or directory\n\n"
            "a.yaml:2:1: error: the key 'n' is repeated\n"
            "    2 | n: many\n"
            "      | ^\n"
            "  hint: it is first given in line 1\n\n"
            "a.yaml:3:1: error: the pipeline has no parameter 'wrod'\n"
            "    3 | wrod: two\n"
            "      | ^~~~\n"
            "  hint: did you mean 'word'?\n\n"
            "b.yaml:1:7: error: not valid YAML: '[' is not closed by ']'\n"
            "    1 | n: [1\n"
            "      |      ^\n\n"
            "p.yaml:5:5: error: unknown key 'retires' in stage 'a'\n"
            "    5 |     retires: 2\n"
            "      |     ^~~~~~~\n"
            "  hint: did you mean 'retries'?\n\n"
            "5 errors\n");
  const auto lines = box.Genflow({"run", "--json", "p.yaml", "-f", "a.yaml"});
  EXPECT_EQ(lines.code, 2);
  EXPECT_EQ(json::parse(lines.out)["diagnostics"].size(), 3u) << lines.out;
}

TEST(Diagnostics, AnOutputThatARunHasNotIsShownAtItsPlace) {
  Sandbox box;
  const std::string measure =
      "name: p\nstages:\n  ev: { uses: exec, with: { run: 'echo 1 > \"$GENFLOW_OUT_REPORT\"' }, out: { "
      "report: file } }\n";
  box.Write("p.yaml", measure);
  ASSERT_EQ(box.Genflow({"run", "-q", "p.yaml"}).code, 0);
  box.Write(
      "p.yaml",
      measure + "  b: { uses: exec, in: { old: { run: latest-ok, output: ev.reprt } }, with: { run: x } }\n");
  const auto run = box.Genflow({"run", "p.yaml"});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(
      box.Normal(run.err),
      "p.yaml:4:57: error: in.old: run 'RUN' has no artifact 'ev.reprt'\n"
      "    4 |   b: { uses: exec, in: { old: { run: latest-ok, output: ev.reprt } }, with: { run: x } }\n"
      "      |                                                         ^~~~~~~~\n"
      "  hint: did you mean 'ev.report'?\n\n1 error\n");
}

TEST(Diagnostics, AnErrorOfSeveralAttemptsIsToldOnce) {
  Sandbox box;
  box.Write("p.yaml",
            "name: p\nstages:\n  a:\n    uses: exec\n    retries: { max: 2, backoff: 0s }\n"
            "    with: { run: 'exit 3' }\n");
  ASSERT_EQ(box.Genflow({"run", "-q", "p.yaml"}).code, 1);
  const std::string shown = box.Genflow({"runs", "show"}).out;
  EXPECT_NE(shown.find("\na, attempt 3: "), std::string::npos) << shown;
  EXPECT_EQ(shown.find("\na, attempt 2: "), std::string::npos) << shown;
  EXPECT_EQ(shown.find("\na: "), std::string::npos) << shown;
}

TEST(Diagnostics, PlanSaysThatAnIfCannotBeDecided) {
  Sandbox box;
  box.Write("p.yaml",
            "name: p\nstages:\n  a: { uses: test.count, with: { steps: 1 } }\n"
            "  b: { uses: exec, if: 'stages.a.metrics.lossy > 0', with: { run: echo } }\n");
  (void)box.Genflow({"run", "-q", "p.yaml"});
  const json plan = box.Json({"plan", "p.yaml", "--json"});
  EXPECT_EQ(plan["stages"][1]["reasons"],
            json({"will fail: its `if` cannot be decided: 'a' has no metric 'lossy'",
                  "hint: did you mean 'loss'?"}));
}

TEST(Diagnostics, WithoutAPipelineNoCommandNamesAnother) {
  Sandbox box;
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"plan"}, {"graph"}, {"validate"}, {"explain", "x"}}) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.err,
              "error: no pipeline was given, and there is no pipeline.yaml here\n"
              "  hint: name one: path/to/pipeline.yaml\n")
        << args.front();
  }
}

}  // namespace
}  // namespace genflow
