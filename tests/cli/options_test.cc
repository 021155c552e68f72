// Options that no other test is about.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kTwoStages[] = R"(name: p
params: { word: one }
stages:
  a:
    uses: exec
    with: { run: 'printf "${{ params.word }}" > "$GENFLOW_OUT_TEXT"' }
    out: { text: file }
  b:
    uses: exec
    in: { text: a.text }
    with: { run: '(cat "$GENFLOW_IN_TEXT"; printf .) > "$GENFLOW_OUT_COPY"' }
    out: { copy: file }
)";

class Options : public testing::Test {
 protected:
  void SetUp() override { box.Write("pipeline.yaml", kTwoStages); }
  void Run(std::vector<std::string> args = {}) {
    args.insert(args.begin(), {"run", "--quiet"});
    const auto run = box.Genflow(args);
    ASSERT_EQ(run.code, 0) << run.err;
  }
  void ExpectRefusal(const std::vector<std::string>& args, const std::string& message) {
    EXPECT_EQ(box.Normal(box.Refusal(args)), message);
  }
  Sandbox box;
};

TEST_F(Options, PlanJson) {
  const json plan = box.Json({"plan", "--json"});
  EXPECT_EQ(plan["pipeline"], "p");
  ASSERT_EQ(plan["stages"].size(), 2u);
  EXPECT_EQ(plan["stages"][0]["key"].get<std::string>().size(), 64u);
  json first = plan["stages"][0];
  first.erase("key");
  EXPECT_EQ(first,
            json::parse(
                R"({"action": "run", "changes": [], "estimated_seconds": 0.0, "reasons": ["never ran before"],
                                   "stage": "a", "uses": "exec"})"));
  EXPECT_EQ(plan["stages"][1],
            json::parse(R"({"action": "maybe", "changes": [], "estimated_seconds": 0.0, "key": "",
                                 "reasons": ["reads 'a', which will run"], "stage": "b", "uses": "exec"})"));
  EXPECT_FALSE(box.Exists(".genflow"));
}

TEST_F(Options, DryRunJsonIsThePlan) {
  Run();
  const auto dry = box.Genflow({"run", "--dry-run", "--json", "-p", "word=two"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_EQ(dry.out, box.Genflow({"plan", "--json", "-p", "word=two"}).out);
  EXPECT_EQ(json::parse(dry.out)["stages"][0]["action"], "run");
  EXPECT_EQ(box.Json({"run", "--dry-run", "--json"})["stages"][0]["action"], "cached");
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
}

TEST_F(Options, ParamsFile) {
  box.Write("values.yaml", "word: from the file\n");
  Run({"--params-file", "values.yaml"});
  EXPECT_EQ(box.Artifact("b.copy"), "from the file.");
  Run({"--params-file", "values.yaml", "-p", "word=given"});
  EXPECT_EQ(box.Artifact("b.copy"), "given.");
  box.Write("values.yaml", "- word\n");
  ExpectRefusal(
      {"run", "--params-file", "values.yaml"},
      "values.yaml:1:1: error: expected a mapping of parameters, got a list\n    1 | - word\n      | ^\n\n"
      "1 error\n");
  ExpectRefusal({"run", "--params-file", "none.yaml"},
                "error: -f none.yaml: No such file or directory\n\n1 error\n");
}

TEST_F(Options, SecretsFile) {
  box.Write("pipeline.yaml",
            "name: s\nstages:\n  a:\n    uses: exec\n    env: { TOKEN: '${{ secrets.TOKEN }}' }\n"
            "    with: { run: 'printf ${#TOKEN} > \"$GENFLOW_OUT_LENGTH\"' }\n    out: { length: file }\n");
  box.Write("secrets", "TOKEN=hunter2\n");
  ExpectRefusal({"run", "--secrets-file", "secrets"},
                "error: secrets: a file of secrets must be readable by its owner alone\n"
                "  hint: chmod 600 secrets\n");
  ASSERT_EQ(box.Shell("chmod 600 secrets").code, 0);
  Run({"--secrets-file", "secrets"});
  EXPECT_EQ(box.Artifact("a.length"), "7");
  EXPECT_EQ(box.Shell("grep -rl hunter2 .genflow || true").out, "");
}

TEST_F(Options, TheStoreOfTheEnvironment) {
  box.SetEnv("GENFLOW_STORE", "elsewhere");
  Run();
  EXPECT_TRUE(box.Exists("elsewhere/store.db"));
  EXPECT_FALSE(box.Exists(".genflow"));
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
  Run({"--store", "given"});
  EXPECT_TRUE(box.Exists("given/store.db")) << "the option wins";
}

TEST_F(Options, SeveralStoresBelow) {
  box.Write("one/pipeline.yaml", kTwoStages);
  box.Write("two/pipeline.yaml", kTwoStages);
  Run({"one/pipeline.yaml"});
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 1u);
  Run({"two/pipeline.yaml"});
  ExpectRefusal({"runs", "ls"},
                "error: there is no store (.genflow) here or in a folder above, and several below\n"
                "  hint: say which one: --store one/.genflow, --store two/.genflow\n");
}

TEST_F(Options, RunsLsByPipelineAndTag) {
  Run();
  Run({"-p", "word=two"});
  box.Write("other.yaml", "name: other\nstages:\n  a: { uses: exec, with: { run: 'true' } }\n");
  Run({"other.yaml"});
  const json all = box.Json({"runs", "ls", "--json"});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(box.Json({"runs", "ls", "--pipeline", "p", "--json"}), json::array({all[1], all[2]}));
  ASSERT_EQ(box.Genflow({"runs", "tag", all[2]["id"], "first"}).code, 0);
  const json tagged = box.Json({"runs", "ls", "--tag", "first", "--json"});
  ASSERT_EQ(tagged.size(), 1u);
  EXPECT_EQ(tagged[0]["id"], all[2]["id"]);
  EXPECT_EQ(box.Genflow({"runs", "ls", "--tag", "second"}).out, "no runs\n");
  EXPECT_EQ(box.Genflow({"runs", "ls", "--pipeline", "q"}).out, "no runs\n");
}

TEST_F(Options, RunsRmJson) {
  Run();
  const std::string run = box.Json({"runs", "show", "--json"})["id"];
  EXPECT_EQ(box.Json({"runs", "rm", "latest", "--json"}), json({{"removed", json::array({run})}}));
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}), json::array());
}

TEST_F(Options, RunsTag) {
  Run();
  const auto tag = [&](std::vector<std::string> args) {
    args.insert(args.begin(), {"runs", "tag"});
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 0) << result.err;
    return box.Normal(result.out);
  };
  EXPECT_EQ(tag({"latest", "good", "v1.0"}), "RUN: good v1.0\n");
  EXPECT_EQ(tag({"latest", "good"}), "RUN: good v1.0\n");
  EXPECT_NE(box.Genflow({"runs", "show"}).out.find("\ntags      good v1.0\n"), std::string::npos);
  const std::string run = box.Json({"runs", "show", "--json"})["id"];
  EXPECT_EQ(box.Json({"runs", "tag", "latest", "v1.0", "--remove", "--json"}),
            json({{"run", run}, {"tags", json::array({"good"})}}));
  ExpectRefusal({"runs", "tag", "latest", "fine", "a b"},
                "error: 'a b' cannot be a tag\n  hint: use letters, digits, -, _ and .\n");
  for (const std::string name : {"latest", "latest-ok"})
    ExpectRefusal(
        {"runs", "tag", "latest", "fine", name},
        "error: '" + name + "' cannot be a tag: it names the latest run\n  hint: take another word\n");
  for (const std::string& name : {run, run.substr(run.size() - 4), run.substr(0, 8)}) {
    const auto refused = box.Genflow({"runs", "tag", "latest", "fine", name});
    EXPECT_EQ(refused.code, 2);
    EXPECT_EQ(refused.err,
              "error: '" + name + "' cannot be a tag: it names run " + run + "\n  hint: take another word\n");
  }
  EXPECT_EQ(box.Json({"runs", "show", "--json"})["tags"], json::array({"good"})) << "all or none";
  ExpectRefusal({"runs", "tag", "latest", "--remove", "bad"},
                "error: run RUN has no tag 'bad'\n  hint: its tags: good\n");
  EXPECT_EQ(tag({"latest", "--remove", "good"}), "RUN: no tags\n");
  ExpectRefusal({"runs", "tag", "latest", "--remove", "good"},
                "error: run RUN has no tag 'good'\n  hint: it has no tags\n");
}

TEST_F(Options, GcKeepsTheLastRunsAndTaggedOnes) {
  for (const char* word : {"word=1", "word=2", "word=3", "word=4"}) Run({"-p", word});
  const json runs = box.Json({"runs", "ls", "--json"});
  ASSERT_EQ(box.Genflow({"runs", "tag", runs[3]["id"], "keep"}).code, 0);
  const json plan = box.Json({"gc", "--keep-last", "1", "--dry-run", "--json"});
  ASSERT_EQ(plan["runs"].size(), 2u);
  EXPECT_EQ(box.Json({"runs", "ls", "--json"}).size(), 4u) << "a dry run removes nothing";
  ASSERT_EQ(box.Genflow({"gc", "--keep-last", "1"}).code, 0);
  const json left = box.Json({"runs", "ls", "--json"});
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0]["id"], runs[0]["id"]);
  EXPECT_EQ(left[1]["id"], runs[3]["id"]);
  EXPECT_EQ(box.Json({"artifacts", "ls", "--json"}).size(), 4u);
}

TEST_F(Options, FsckFastComparesSizesAndTimes) {
  Run();
  EXPECT_EQ(box.Genflow({"fsck", "--fast"}).out, "clean: 2 objects, 2 files, 7 B checked\n");
  ASSERT_EQ(box.Shell("f=$(ls .genflow/objects/*/*/data | head -n 1); chmod u+w $f; printf x >> $f").code, 0);
  const auto found = box.Genflow({"fsck", "--fast", "--json"});
  EXPECT_EQ(found.code, 1);
  EXPECT_EQ(json::parse(found.out)["problems"][0]["kind"], "damaged-object");
}

TEST_F(Options, ArtifactsOfOneRun) {
  Run();
  Run({"-p", "word=two"});
  const json runs = box.Json({"runs", "ls", "--json"});
  const json list = box.Json({"artifacts", "ls", "--run", runs[1]["id"], "--json"});
  ASSERT_EQ(list.size(), 2u);
  EXPECT_TRUE(
      std::all_of(list.begin(), list.end(), [&](const json& use) { return use["run"] == runs[1]["id"]; }));
}

TEST_F(Options, ArtifactsSayWhatTheyWereMadeFrom) {
  Run();
  const json a = box.Json({"artifacts", "show", "a.text", "--json"});
  const json b = box.Json({"artifacts", "show", "b.copy", "--json"});
  const json input = {{"port", "text"}, {"type", "file"}, {"digest", a["digest"]}, {"source", "a.text"}};
  EXPECT_EQ(a["inputs"], json::array());
  EXPECT_EQ(b["inputs"], json::array({input}));
  const std::string digest = a["digest"];
  const std::string shown = box.Genflow({"artifacts", "show", "b.copy"}).out;
  EXPECT_NE(shown.find("\nmade from  a.text (file, " + digest.substr(0, 12) + ")\n"), std::string::npos)
      << shown;
}

TEST_F(Options, ArtifactsExportJsonAndLink) {
  Run();
  const json a = box.Json({"artifacts", "show", "a.text", "--json"});
  EXPECT_EQ(box.Json({"artifacts", "export", "a.text", "copy", "--json"}),
            json({{"target", "copy"}, {"digest", a["digest"]}, {"bytes", 3}}));
  EXPECT_EQ(box.Genflow({"artifacts", "export", "a.text", "link", "--link"}).out, "link: file, 3 B\n");
  EXPECT_EQ(box.Read("link"), "one");
  EXPECT_EQ(box.Shell("stat -c %h copy link").out, "1\n2\n");
  EXPECT_EQ(box.Shell("stat -c %A link").out, "-r--r--r--\n");
}

TEST_F(Options, MistakesOfRun) {
  const std::string between =
      "error: no stage lies between --from b and --until a\n"
      "  hint: --until must name stages that depend on those of --from\n";
  ExpectRefusal({"run", "--from", "b", "--until", "a"}, between);
  ExpectRefusal({"plan", "--from", "b", "--until", "a"}, between);
  ExpectRefusal({"run", "-p", "word"}, "error: -p word is not NAME=VALUE\n  hint: write -p word=VALUE\n");
  ExpectRefusal({"run", "-p", "=two"}, "error: -p =two is not NAME=VALUE\n  hint: write -p NAME=VALUE\n");
  ExpectRefusal({"run", "--grace", "soon"},
                "error: --grace soon is not a duration\n  hint: write --grace 30s\n");
}

TEST_F(Options, FollowedLogsAreNoJson) {
  Run();
  ExpectRefusal({"logs", "-f", "a", "--json"},
                "error: --follow and --json do not go together\n"
                "  hint: --json tells where the log is, --follow prints it as it grows\n");
}

TEST(RunsMetrics, LastValuesAndEveryStep) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: m\nstages:\n  count:\n    uses: test.count\n    with: { steps: 3 }\n"
            "  quiet:\n    uses: test.act\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 0);
  ASSERT_EQ(box.Genflow({"run"}).code, 0) << "the second run has them from the first";
  EXPECT_EQ(box.Genflow({"runs", "metrics"}).out,
            "stage  metric     value  step  points\n"
            "count  loss    0.333333     2       3\n");
  EXPECT_EQ(box.Genflow({"runs", "metrics", "latest", "count", "--name", "loss"}).out,
            "stage  step      loss\n"
            "count     0         1\n"
            "count     1       0.5\n"
            "count     2  0.333333\n");
  const auto points = box.Json({"runs", "metrics", "--json"});
  EXPECT_EQ(points["stages"]["count"]["loss"].size(), 3u);
  EXPECT_EQ(points["stages"]["count"]["loss"][1]["value"], 0.5);
  EXPECT_EQ(box.Json({"runs", "show", "--json"})["metrics"]["count"]["loss"], 1.0 / 3);
  EXPECT_EQ(box.Genflow({"runs", "metrics", "latest", "quiet"}).out, "no metrics\n");
  const auto stage = box.Genflow({"runs", "metrics", "latest", "cuont"});
  EXPECT_EQ(stage.code, 2);
  EXPECT_EQ(box.Normal(stage.err), "error: run RUN has no stage 'cuont'\n  hint: did you mean 'count'?\n");
  const auto name = box.Genflow({"runs", "metrics", "--name", "los"});
  EXPECT_EQ(box.Normal(name.err), "error: run RUN has no metric 'los'\n  hint: did you mean 'loss'?\n");
}

}  // namespace
}  // namespace genflow
