// runs diff, runs compare and artifacts lineage.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kPipeline[] = R"(name: many
params: { steps: 2, text: one }
stages:
  read: { uses: test.act, with: { text: "${{ params.text }}", files: data/*.txt } }
  count: { uses: test.count, with: { steps: "${{ params.steps }}" } }
  join: { uses: test.act, in: { in: [read.out, count.steps] } }
)";

class RunComparison : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", kPipeline);
    box.Write("data/a.txt", "a");
    runs.push_back(Run({}));
    runs.push_back(Run({"-p", "steps=4"}));
  }
  std::string Run(const std::vector<std::string>& more) {
    std::vector<std::string> args = {"run", "-q"};
    args.insert(args.end(), more.begin(), more.end());
    const auto run = box.Genflow(args);
    EXPECT_EQ(run.code, 0) << run.err;
    return box.Json({"runs", "show", "--json"})["id"];
  }
  // Runs by their number, digests by DIGEST, times by T; blanks in a row by one.
  std::string Normal(std::string text) {
    for (size_t i = 0; i < runs.size(); ++i)
      text = std::regex_replace(text, std::regex(runs[i]), "RUN" + std::to_string(i));
    text = std::regex_replace(text, std::regex("\\b[0-9a-f]{12}\\b"), "DIGEST");
    text = std::regex_replace(text, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}"), "DATE");
    text = std::regex_replace(text, std::regex("\\b[0-9.]+ m?s\\b"), "T");
    return std::regex_replace(text, std::regex("  +"), "  ");
  }
  Sandbox box;
  std::vector<std::string> runs;
};

TEST_F(RunComparison, DiffShowsWhatIsDifferent) {
  const auto diff = box.Genflow({"runs", "diff", runs[0], "latest"});
  EXPECT_EQ(diff.code, 0) << diff.err;
  EXPECT_EQ(Normal(diff.out),
            "  a  b\n"
            "run  RUN0  RUN1\n"
            "status  ok  ok\n"
            "started  DATE  DATE\n"
            "time  T  T\n"
            "\n"
            "params (1 the same)\n"
            "  param  a  b\n"
            "  steps  2  4\n"
            "\n"
            "metrics\n"
            "  metric  a  b  difference\n"
            "  count.loss  0.5  0.25  -0.25 (-50.0%)\n"
            "\n"
            "artifacts (1 the same)\n"
            "  artifact  a  b\n"
            "  count.steps  DIGEST  DIGEST\n"
            "  join.out  DIGEST  DIGEST\n"
            "\n"
            "plugins: no difference (3 the same)\n"
            "\n"
            "stages\n"
            "  stage  a  b\n"
            "  read  ran T  cached\n"
            "  count  ran T  ran T\n"
            "  join  ran T  ran T\n");
}

TEST_F(RunComparison, DiffAsJson) {
  const json diff = box.Json({"runs", "diff", runs[0], runs[1], "--json"});
  EXPECT_EQ(diff["a"]["id"], runs[0]);
  EXPECT_EQ(diff["params"], json::parse(R"([{"name":"steps","a":2,"b":4}])"));
  EXPECT_EQ(diff["metrics"], json::parse(R"([{"name":"count.loss","a":0.5,"b":0.25,"difference":-0.25}])"));
  EXPECT_EQ(diff["artifacts"].size(), 2u);
  EXPECT_EQ(diff["plugins"], json::array());
  EXPECT_EQ(diff["same"], json::parse(R"({"params":1,"metrics":0,"artifacts":1,"plugins":3})"));
  EXPECT_EQ(diff["stages"][0]["b"]["status"], "cached");
}

TEST_F(RunComparison, DiffNamesPluginsThatChanged) {
  box.SetEnv("GENFLOW_PLUGIN_PATH", TEST_PLUGIN_NEXT_FOLDER);
  runs.push_back(Run({}));
  const std::string diff = Normal(box.Genflow({"runs", "diff", runs[0], runs[2]}).out);
  EXPECT_NE(diff.find("\nplugins\n  stage  a  b\n"
                      "  read  test.act 1.0.0 (DIGEST)  test.act 1.1.0 (DIGEST)\n"),
            std::string::npos)
      << diff;
}

TEST_F(RunComparison, RunsAreFoundByTag) {
  ASSERT_EQ(box.Genflow({"runs", "tag", runs[0], "released"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "diff", "released", "latest", "--json"})["a"]["id"], runs[0]);
  ASSERT_EQ(box.Genflow({"runs", "tag", runs[1], "released"}).code, 0);
  EXPECT_EQ(box.Json({"runs", "show", "released", "--json"})["id"], runs[1]) << "of several the latest";
  const auto unknown = box.Genflow({"runs", "diff", "relaesed", "latest"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(unknown.err, "error: there is no run 'relaesed'\n  hint: `genflow runs ls` shows them\n");
}

TEST_F(RunComparison, CompareShowsWhatDiffersInOneTable) {
  runs.push_back(Run({"-p", "steps=3"}));
  const auto table = box.Genflow({"runs", "compare", "--sort", "loss"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_EQ(Normal(table.out),
            "run  status  time  steps  count.loss\n"
            "RUN1  ok  T  4  0.25\n"
            "RUN2  ok  T  3  0.333333\n"
            "RUN0  ok  T  2  0.5\n");
  EXPECT_EQ(Normal(box.Genflow({"runs", "compare", runs[2], runs[0], "--sort", "loss", "--reverse"}).out),
            "run  status  time  steps  count.loss\n"
            "RUN0  ok  T  2  0.5\n"
            "RUN2  ok  T  3  0.333333\n");
  EXPECT_EQ(Normal(box.Genflow({"runs", "compare", "--last", "2", "--metrics", "count.loss"}).out),
            "run  status  time  steps  count.loss\n"
            "RUN1  ok  T  4  0.25\n"
            "RUN2  ok  T  3  0.333333\n");
}

TEST_F(RunComparison, CompareAsJson) {
  const json out = box.Json({"runs", "compare", "--json"});
  EXPECT_EQ(out["params"], json({"steps"}));
  EXPECT_EQ(out["metrics"], json({"count.loss"}));
  ASSERT_EQ(out["runs"].size(), 2u);
  EXPECT_EQ(out["runs"][0]["run"], runs[0]);
  EXPECT_EQ(out["runs"][1]["metrics"]["count.loss"], 0.25);
  EXPECT_EQ(out["runs"][1]["params"], json::parse(R"({"steps":4,"text":"one"})"));
}

TEST_F(RunComparison, CompareMistakesHelp) {
  const auto metric = box.Genflow({"runs", "compare", "--metrics", "los"});
  EXPECT_EQ(metric.code, 2);
  EXPECT_EQ(metric.err, "error: none of these runs has a metric 'los'\n  hint: did you mean 'loss'?\n");
  const auto pipeline = box.Genflow({"runs", "compare", "--pipeline", "none"});
  EXPECT_EQ(pipeline.code, 2);
  EXPECT_EQ(pipeline.err,
            "error: there is no run of a pipeline 'none'\n  hint: `genflow runs ls` shows them\n");
}

TEST_F(RunComparison, LineageBothWays) {
  const auto tree = box.Genflow({"artifacts", "lineage", "join.out"});
  EXPECT_EQ(tree.code, 0) << tree.err;
  EXPECT_EQ(Normal(tree.out),
            "join.out  file DIGEST  test.act, run RUN1\n"
            "\n"
            "made from\n"
            "├─ read.out  file DIGEST  test.act, run RUN0\n"
            "│  └─ file data/a.txt  DIGEST\n"
            "└─ count.steps  file DIGEST  test.count, run RUN1\n"
            "\n"
            "made into: nothing\n");
  EXPECT_EQ(Normal(box.Genflow({"artifacts", "lineage", "read.out", "--down"}).out),
            "read.out  file DIGEST  test.act, run RUN0\n"
            "\n"
            "made into\n"
            "├─ join.out  file DIGEST  test.act, run RUN0, read at in\n"
            "└─ join.out  file DIGEST  test.act, run RUN1, read at in\n");
  box.SetEnv("LANG", "C");
  EXPECT_EQ(Normal(box.Genflow({"artifacts", "lineage", runs[0] + ":join.out", "--up"}).out),
            "join.out  file DIGEST  test.act, run RUN0\n"
            "\n"
            "made from\n"
            "|- read.out  file DIGEST  test.act, run RUN0\n"
            "|  `- file data/a.txt  DIGEST\n"
            "`- count.steps  file DIGEST  test.count, run RUN0\n");
}

TEST_F(RunComparison, LineageAsJson) {
  const json up = box.Json({"artifacts", "lineage", "join.out", "--up", "--json"});
  EXPECT_EQ(up["stage"], "join");
  EXPECT_EQ(up["run"], runs[1]);
  EXPECT_FALSE(up.contains("made_into"));
  ASSERT_EQ(up["made_from"].size(), 2u);
  EXPECT_EQ(up["made_from"][0]["stage"], "read");
  EXPECT_EQ(up["made_from"][0]["run"], runs[0]);
  EXPECT_EQ(up["made_from"][0]["below"][0]["file"], "data/a.txt");
  const json down = box.Json({"artifacts", "lineage", "read.out", "--down", "--json"});
  ASSERT_EQ(down["made_into"].size(), 2u);
  EXPECT_EQ(down["made_into"][1]["digest"], up["digest"]);
  EXPECT_EQ(down["made_into"][1]["input"], "in");
}

TEST_F(RunComparison, LineageNamesTheRunThatComputed) {
  runs.push_back(Run({}));  // everything is cached
  EXPECT_EQ(Normal(box.Genflow({"artifacts", "lineage", "read.out", "--down"}).out),
            "read.out  file DIGEST  test.act, run RUN0\n"
            "\n"
            "made into\n"
            "├─ join.out  file DIGEST  test.act, run RUN0 and 1 more, read at in\n"
            "└─ join.out  file DIGEST  test.act, run RUN1, read at in\n");
}

TEST_F(RunComparison, DiffAsJsonLeavesOutWhatIsTheSame) {
  const json diff = box.Json({"runs", "diff", runs[0], runs[0], "--json"});
  EXPECT_EQ(diff["metrics"], json::array());
  EXPECT_EQ(diff["same"], json::parse(R"({"params":2,"metrics":1,"artifacts":3,"plugins":3})"));
}

TEST_F(RunComparison, LineageOfARemovedRunSaysSo) {
  ASSERT_EQ(box.Genflow({"runs", "rm", runs[0]}).code, 0);
  ASSERT_EQ(box.Json({"artifacts", "lineage", "join.out", "--json"})["made_from"].size(), 2u);
  const auto bad = box.Genflow({"artifacts", "lineage", "join.uot"});
  EXPECT_EQ(bad.code, 2);
  EXPECT_EQ(bad.err, "error: no run has made an artifact 'join.uot'\n  hint: did you mean 'join.out'?\n");
}

}  // namespace
}  // namespace genflow
