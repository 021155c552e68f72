// `genflow stages run`: one stage without a pipeline or a store.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

class StageByHand : public testing::Test {
 protected:
  CommandResult Run(std::vector<std::string> args) {
    args.insert(args.begin(), {"stages", "run"});
    return box.Genflow(args);
  }
  void ExpectError(const std::vector<std::string>& args, int code, const std::string& message) {
    const auto result = Run(args);
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(box.Normal(result.err), message);
  }
  Sandbox box;
};

TEST_F(StageByHand, RunsAndLeavesItsOutputsAlone) {
  box.Write("in.txt", "more");
  const auto run = Run({"test.act", "--with", R"({"text": "some "})", "--in", "in=in.txt"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Read("out/out"), "some more");
  EXPECT_EQ(box.Shell("ls -A out").out, "out\n");
  ExpectError({"test.act"}, 2,
              "error: DIR/out/out: exists already\n  hint: remove it, or give another folder with --out\n");
}

TEST_F(StageByHand, ParametersAreReadAsInAPipeline) {
  ExpectError({"test.act", "--with", "txt: x"}, 2, R"(--with:1:1: error: 'test.act' has no parameter 'txt'
    1 | txt: x
      | ^~~
  hint: did you mean 'text'?

1 error
)");
  ExpectError({"test.count", "--with", "{ steps: 0, pause: long }"}, 2,
              R"(--with:1:10: error: with.steps: expected an integer between 1 and 1000000, got '0'
    1 | { steps: 0, pause: long }
      |          ^

--with:1:20: error: with.pause: expected a number, got 'long'
    1 | { steps: 0, pause: long }
      |                    ^~~~

2 errors
)");
  ExpectError({"test.act", "--with", "text=x"}, 2, R"(--with:1:1: error: with expects a mapping, got 'text=x'
    1 | text=x
      | ^~~~~~

1 error
)");
  const auto json_run = Run({"test.act", "--json", "--with", "txt: x"});
  EXPECT_EQ(json_run.code, 2);
  EXPECT_EQ(json_run.err, "");
  const json line = json::parse(json_run.out);
  EXPECT_EQ(line["t"], "diagnostics");
  EXPECT_EQ(line["diagnostics"][0]["message"], "'test.act' has no parameter 'txt'");
}

TEST_F(StageByHand, FilesAreLookedForHere) {
  box.Write("a.txt", "A");
  box.Write("b.txt", "B");
  box.Write("c.csv", "C");
  const auto run = Run({"test.act", "--with", "{ text: '', file: c.csv, files: '*.txt' }"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(box.Read("out/out"), "CAB");
  ExpectError({"test.act", "--with", "{ file: absent, files: [5] }"}, 2,
              R"(--with:1:9: error: with.file: no such file or folder: absent
    1 | { file: absent, files: [5] }
      |         ^~~~~~
  hint: it is looked for at DIR/absent

--with:1:25: error: with.files[0]: no file matches 5
    1 | { file: absent, files: [5] }
      |                         ^
  hint: it is looked for in DIR

2 errors
)");
}

TEST_F(StageByHand, SecretsAreGivenInClearOrByName) {
  box.SetEnv("GENFLOW_SECRET_HUB", "hunter2");
  ASSERT_EQ(Run({"test.act", "--with", "{ do: token, token: abc }"}).code, 0);
  EXPECT_EQ(box.Read("out/out"), "3");
  ASSERT_EQ(Run({"test.act", "--with", "{ do: token, token: '${{ secrets.HUB }}' }", "--out", "named"}).code,
            0);
  EXPECT_EQ(box.Read("named/out"), "7");
}

TEST_F(StageByHand, MistakesAreNamed) {
  box.Write("in.txt", "more");
  ExpectError({"exec"}, 2,
              "error: exec has no ports of its own, so it runs only in a pipeline\n"
              "  hint: its text is bash: a shell runs it by hand\n");
  ExpectError(
      {"test.act", "--in", "on=in.txt"}, 2,
      "error: --in on=in.txt: test.act has no input 'on'\n  hint: write --in PORT=PATH; its inputs are in\n");
  ExpectError({"test.act", "--in", "in=none.txt"}, 2,
              "error: --in in=none.txt: there is no such file or folder\n");
}

TEST_F(StageByHand, AGateThatSaysNo) {
  const auto gate = Run({"test.act", "--with", "do: gate"});
  EXPECT_EQ(gate.code, 3);
  EXPECT_EQ(gate.out, "quality was text\n");
  EXPECT_EQ(gate.err, "error: quality is too low: text\n  hint: train longer\n");
  EXPECT_EQ(box.Read("out/out"), "text");
}

// Found before the plugin is opened, so that its manifest is enough.
TEST_F(StageByHand, MissingParametersAndInputs) {
  box.Write("plugins/join.so", "");
  box.Write("plugins/join.json",
            R"({"manifest": 1, "abi": [1, 0], "plugin": "join", "version": "1.0.0", "sha256": "", "stages": [
                {"name": "join.two", "version": "1.0.0", "outputs": [],
                 "params": [{"name": "by", "type": "string", "required": true, "doc": "What they share."}],
                 "inputs": [{"name": "left", "type": "dataset"}, {"name": "right", "type": "dataset"}]}]})");
  box.SetEnv("GENFLOW_PLUGIN_PATH", (box.dir() / "plugins").string());
  ExpectError({"join.two"}, 2,
              "--with: error: join.two needs the parameter 'by'\n  hint: by: What they share.\n\n1 error\n");
  ExpectError({"join.two", "--with", "by: id", "--in", "left=plugins"}, 2,
              "error: join.two needs the input 'right'\n  hint: write --in right=PATH\n");
  ExpectError({"join.two", "--with", "by: id", "--in", "left=plugins", "--in", "left=."}, 2,
              "error: --in left=.: 'left' takes one artifact, and has one already\n");
}

TEST_F(StageByHand, JsonIsWhatTheStageReports) {
  const auto run = Run({"test.act", "--json", "--with", "do: talk"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out, R"({"level":"warning","t":"log","text":"to the log"})"
                     "\n"
                     R"({"outcome":0,"t":"done"})"
                     "\n");
  EXPECT_EQ(run.err, "to stdout\nto stderr\n");
  const auto failed = Run({"test.act", "--json", "--with", "do: io", "--out", "other"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_EQ(failed.out, R"({"code":"io","hint":"","message":"the network is gone","t":"fail"})"
                        "\n"
                        R"({"outcome":1,"t":"done"})"
                        "\n");
}

TEST_F(StageByHand, AnInterruptedStageGoesOnFromItsState) {
  auto run = box.Start({"stages", "run", "test.count", "--with", "{ steps: 1000, pause: 0.02 }"});
  ASSERT_TRUE(box.WaitFor("grep -qs 'step 1' out/.state/steps"));
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait().code, 75);
  EXPECT_FALSE(box.Exists("out/.scratch"));
  const auto again = Run({"test.count", "--with", "steps: 1000"});
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.err.find("info: starting from step 0\n"), std::string::npos) << again.err;
  EXPECT_EQ(box.Shell("ls -A out; wc -l < out/steps").out, "steps\n1000\n");
}

}  // namespace
}  // namespace genflow
