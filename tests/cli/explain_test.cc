// genflow plan and explain: why a stage runs, and what its key consists of.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kPipeline[] = R"(name: told
params: { text: one }
stages:
  read:
    uses: test.act
    with: { text: "${{ params.text }}", files: data/*.txt }
  copy:
    uses: exec
    in: { text: read.out }
    env: { MODE: fast }
    with:
      run: |
        set -e
        cat "$GENFLOW_IN_TEXT" > "$GENFLOW_OUT_TEXT"
    out: { text: file }
)";

class Explain : public testing::Test {
 protected:
  void SetUp() override {
    box.Write("pipeline.yaml", kPipeline);
    box.Write("data/a.txt", "a");
  }
  void Run(const std::vector<std::string>& more = {}) {
    std::vector<std::string> args = {"run"};
    args.insert(args.end(), more.begin(), more.end());
    const auto run = box.Genflow(args);
    ASSERT_EQ(run.code, 0) << run.err;
  }
  std::string LatestRun() { return box.Json({"runs", "show", "--json"})["id"]; }
  // Runs by RUN, digests by KEY or DIGEST, times by TIME.
  std::string Normal(std::string text) {
    text = std::regex_replace(text, std::regex("\\b[0-9a-f]{64}\\b"), "KEY");
    text = std::regex_replace(text, std::regex("/objects/[0-9a-f]{2}/"), "/objects/XX/");
    text = std::regex_replace(text, std::regex("\\b[0-9a-f]{12}\\b"), "DIGEST");
    text = std::regex_replace(text, std::regex("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}"), "DATE");
    text = std::regex_replace(text, std::regex("[0-9]{8}-[0-9]{4}-[a-z0-9]{4}"), "RUN");
    text = std::regex_replace(text, std::regex("in [0-9.]+ m?s\\b"), "in TIME");
    while (text.find(box.dir().string()) != std::string::npos)
      text.replace(text.find(box.dir().string()), box.dir().string().size(), "DIR");
    return text;
  }
  Sandbox box;
};

TEST_F(Explain, PlanSaysWhichRunItCompares) {
  Run();
  const std::string first = LatestRun();
  Run({"-p", "text=two"});
  box.Write("data/a.txt", "A");
  // One difference from the first run, two from the second: the first is nearer.
  const auto plan = box.Genflow({"plan"});
  EXPECT_EQ(plan.code, 0) << plan.err;
  const std::string whole = std::regex_replace(plan.out, std::regex("about [0-9.]+ m?s"), "about TIME");
  EXPECT_EQ(std::regex_replace(whole, std::regex("\\b[0-9a-f]{12}\\b"), "DIGEST"),
            "stage  action  why\n"
            "read   run     file 'data/a.txt' changed: DIGEST -> DIGEST\n"
            "copy   maybe   reads 'read', which will run\n"
            "\n"
            "told: 2 of 2 stages would run, about TIME of work\n"
            "changes are since run " +
                first + "\n");
}

TEST_F(Explain, StagesComparedWithDifferentRunsSayTheirs) {
  Run();
  const std::string first = LatestRun();
  std::string text = kPipeline;
  text.replace(text.find("MODE: fast"), 10, "MODE: slow");
  box.Write("pipeline.yaml", text);
  Run();
  const std::string second = LatestRun();
  // The text of now is nearest to the first run's, the parameter's to that of both.
  text = kPipeline;
  text.replace(text.find("cat \""), 5, "cat -u \"");
  box.Write("pipeline.yaml", text);
  const auto plan = box.Genflow({"plan", "-p", "text=a text that is long enough to need a line of its own"});
  EXPECT_EQ(plan.out.substr(0, plan.out.find("\n\n") + 1),
            "stage  action  why\n"
            "read   run     param 'text' changed:\n"
            "                 - \"one\"\n"
            "                 + \"a text that is long enough to need a line of its own\"\n"
            "               since run " +
                second +
                "\n"
                "copy   maybe   reads 'read', which will run\n"
                "               run text changed:\n"
                "                   set -e\n"
                "                 - cat \"$GENFLOW_IN_TEXT\" > \"$GENFLOW_OUT_TEXT\"\n"
                "                 + cat -u \"$GENFLOW_IN_TEXT\" > \"$GENFLOW_OUT_TEXT\"\n"
                "               since run " +
                first + "\n");
}

TEST_F(Explain, PlanAsJson) {
  Run();
  const std::string run = LatestRun();
  const json plan = box.Json({"plan", "-p", "text=two", "--json"});
  EXPECT_EQ(plan["pipeline"], "told");
  const json& read = plan["stages"][0];
  EXPECT_EQ(read["action"], "run");
  EXPECT_EQ(read["reasons"], json({"param 'text' changed: \"one\" -> \"two\""}));
  EXPECT_EQ(read["compared_run"], run);
  EXPECT_EQ(
      read["changes"],
      json::parse(R"([{"part":"param","name":"text","change":"changed","before":"one","after":"two"}])"));
  const json cached = box.Json({"plan", "--json"})["stages"];
  EXPECT_EQ(cached[1]["action"], "cached");
  EXPECT_EQ(cached[1]["source_run"], run);
  EXPECT_EQ(cached[1]["changes"], json::array());
}

TEST_F(Explain, ACachedStage) {
  Run();
  const auto said = box.Genflow({"explain", "pipeline.yaml", "copy"});
  EXPECT_EQ(said.code, 0) << said.err;
  EXPECT_EQ(Normal(said.out),
            "stage  copy (exec), pipeline.yaml:7\n"
            "now    is cached: run RUN made it in TIME\n"
            "key    KEY\n"
            "last   ran in run RUN, DATE\n"
            "\n"
            "part         now                   run RUN\n"
            "stage        exec                  same\n"
            "run          set -e ... (2 lines)  same\n"
            "env MODE     \"fast\"                same\n"
            "output text  \"file\"                same\n"
            "input text   DIGEST          same\n"
            "\n"
            "outputs of run RUN\n"
            "  text: file, 4 B, DIGEST\n"
            "    DIR/.genflow/objects/XX/KEY/data\n"
            "\n"
            "would run again with\n"
            "  - another text under `run`, or other outputs under `out`\n"
            "  - other bytes of what it reads: read.out\n"
            "  - another value under `env`: MODE\n"
            "\n"
            "does not count\n"
            "  - its id, `needs`, `if`, `retries`, `timeout`, `resources`, and the place of\n"
            "    the pipeline\n"
            "  - files that `run` reads and `files` does not name; variables not under `env`\n");
  for (size_t at = 0, end; at < said.out.size(); at = end + 1) {
    end = said.out.find('\n', at);
    const std::string line = said.out.substr(at, end - at);
    EXPECT_TRUE(line.size() <= 80 || line.find("/objects/") != std::string::npos) << line;
  }
}

TEST_F(Explain, AStageThatReadsWhatWillRun) {
  Run();
  const auto said = box.Genflow({"explain", "copy", "-p", "text=two"});
  EXPECT_EQ(said.code, 0) << said.err;
  const std::string text = Normal(said.out);
  EXPECT_EQ(text.substr(0, text.find("\n\noutputs")),
            "stage  copy (exec), pipeline.yaml:7\n"
            "now    may run: reads 'read', which will run\n"
            "key    not known before what it reads is there\n"
            "last   ran in run RUN, DATE\n"
            "\n"
            "part         now                   run RUN\n"
            "stage        exec                  same\n"
            "run          set -e ... (2 lines)  same\n"
            "env MODE     \"fast\"                same\n"
            "output text  \"file\"                same\n"
            "input text   not known yet         DIGEST");
  const json out = box.Json({"explain", "copy", "-p", "text=two", "--json"});
  EXPECT_EQ(out["action"], "maybe");
  EXPECT_EQ(out["key"], "");
  EXPECT_EQ(out["parts"][4]["part"], "input");
  EXPECT_EQ(out["parts"][4]["known"], false);
  EXPECT_EQ(out["parts"][1]["before"], out["parts"][1]["value"]);
  EXPECT_EQ(out["line"], 7);
}

TEST_F(Explain, AStageThatChanged) {
  Run();
  const auto said = box.Genflow({"explain", "read", "-p", "text=two"});
  const std::string text = Normal(said.out);
  EXPECT_NE(text.find("now    would run: its key changed\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nchanged since run RUN\n  param 'text' changed: \"one\" -> \"two\"\n\npart"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\nparam text       \"two\"         \"one\"\n"), std::string::npos) << text;
}

TEST_F(Explain, AStageThatNeverRanLeavesNoStore) {
  const auto said = box.Genflow({"explain", "read"});
  EXPECT_EQ(said.code, 0) << said.err;
  const std::string text = Normal(said.out);
  EXPECT_EQ(text.substr(0, text.find("\n\n")),
            "stage  read (test.act), pipeline.yaml:4\n"
            "now    would run: never ran before\n"
            "key    KEY\n"
            "last   never ran before");
  EXPECT_FALSE(box.Exists(".genflow"));
  EXPECT_EQ(box.Json({"explain", "read", "--json"})["last"], json());
}

TEST_F(Explain, AStageThatFailedShowsItsErrorAndLog) {
  box.Write("pipeline.yaml", "name: f\nstages:\n  a:\n    uses: test.act\n    with: { do: invalid }\n");
  ASSERT_EQ(box.Genflow({"run"}).code, 1);
  const std::string text = Normal(box.Genflow({"explain", "a"}).out);
  EXPECT_EQ(text.substr(0, text.find("\n\n")),
            "stage  a (test.act), pipeline.yaml:3\n"
            "now    would run: failed in run RUN\n"
            "key    KEY\n"
            "last   failed in run RUN, DATE\n"
            "error  the data has no rows\n"
            "log    DIR/.genflow/logs/RUN/a.1.log");
}

TEST_F(Explain, ARunThatGoesOnSaysWhatAStageWaitsFor) {
  box.Write("pipeline.yaml",
            "name: w\nstages:\n  a:\n    uses: test.act\n    with: { do: sleep, seconds: 60 }\n"
            "  b:\n    uses: test.act\n    in: { in: a.out }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(run.WaitForError("a: started"));
  EXPECT_TRUE(box.WaitFor(std::string(GENFLOW_BINARY) + " explain a | grep -q 'is running in run'"));
  EXPECT_TRUE(
      box.WaitFor(std::string(GENFLOW_BINARY) + " explain a | grep -q 'its key is being computed by run'"));
  const std::string text = Normal(box.Genflow({"explain", "b"}).out);
  EXPECT_NE(text.find("\nheld up\n  - waits in run RUN for 'a', which is running\n"), std::string::npos)
      << text;
  run.Signal(SIGTERM);
  run.Wait();
}

TEST_F(Explain, ASkippedStageSaysWhatSwitchesItOff) {
  box.Write("pipeline.yaml",
            "name: s\nparams: { on: false }\nstages:\n  a:\n    uses: test.act\n    if: params.on\n"
            "  b:\n    uses: test.act\n    in: { in: a.out }\n");
  const json b = box.Json({"explain", "b", "--json"});
  EXPECT_EQ(b["action"], "skip");
  EXPECT_EQ(b["held_up"], json({"needs 'a'"}));
}

TEST_F(Explain, MistakesHelp) {
  const auto unknown = box.Genflow({"explain", "pipeline.yaml", "raed"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(unknown.err, "error: pipeline.yaml has no stage 'raed'\n  hint: did you mean 'read'?\n");
  const auto none = box.Genflow({"explain", "pipeline.yaml"});
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(none.err,
            "error: no stage was named\n"
            "  hint: write `genflow explain PIPELINE STAGE`; `genflow plan` lists the stages\n");
}

TEST_F(Explain, SecretsStayOut) {
  box.Write("pipeline.yaml",
            "name: s\nstages:\n  a:\n    uses: test.act\n    with: { token: \"${{ secrets.KEY }}\" }\n");
  box.SetEnv("GENFLOW_SECRET_KEY", "canary-one");
  Run();
  box.SetEnv("GENFLOW_SECRET_KEY", "canary-two");
  const auto plan = box.Genflow({"plan"});
  EXPECT_EQ(plan.out.substr(0, plan.out.find("\n\n") + 1),
            "stage  action  why\n"
            "a      run     param 'token' changed: a secret in it has another value\n");
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"plan", "--json"}, {"explain", "a"}, {"explain", "a", "--json"}}) {
    const auto said = box.Genflow(args);
    EXPECT_EQ(said.code, 0) << said.err;
    EXPECT_EQ((said.out + said.err).find("canary"), std::string::npos) << said.out;
  }
}

TEST_F(Explain, EveryCommandThatExplainsHasHelpWithAnExample) {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"explain"},
                                             {"graph"},
                                             {"runs", "diff"},
                                             {"runs", "compare"},
                                             {"runs", "export"},
                                             {"runs", "import"},
                                             {"artifacts", "lineage"}}) {
    auto args = command;
    args.push_back("--help");
    const auto help = box.Genflow(args);
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("\nExample"), std::string::npos) << command.back();
    EXPECT_NE(help.out.find("--json"), std::string::npos) << command.back();
  }
}

}  // namespace
}  // namespace genflow
