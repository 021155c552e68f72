// The command line: help, versions, mistakes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

TEST(Usage, Version) {
  Sandbox box;
  const auto version = box.Genflow({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out.substr(0, 8), "genflow ");
  EXPECT_EQ(box.Genflow({"version"}).out, version.out);
  EXPECT_EQ(json::parse(box.Genflow({"version", "--json"}).out)["abi_major"], 1);
}

TEST(Usage, MistakesNameWhatWasMeantAndExitWith2) {
  Sandbox box;
  const auto expect = [&](const std::vector<std::string>& args, const std::string& message) {
    const auto result = box.Genflow(args);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, message);
  };
  expect({"rnu"}, "error: unknown command 'rnu'\n  hint: did you mean 'run'?\n");
  expect({"run", "--forse"}, "error: unknown option '--forse'\n  hint: did you mean '--force'?\n");
  expect({"runs", "lst"}, "error: unknown command 'lst'\n  hint: did you mean 'ls'?\n");
  expect({"validate", "a.yaml", "b.yaml"},
         "error: unexpected argument 'b.yaml'\n  hint: `genflow validate --help` shows what it takes\n");
  expect({"run", "-j", "0"},
         "error: --jobs: 0 is not a number from 1 up\n  hint: `genflow run --help` shows what it takes\n");
  expect(
      {"runs", "ls", "-n", "-3"},
      "error: --limit: -3 is not a number from 0 up\n  hint: `genflow runs ls --help` shows what it takes\n");
  expect(
      {"runs", "ls", "-n", "x"},
      "error: --limit: x is not a number from 0 up\n  hint: `genflow runs ls --help` shows what it takes\n");
  expect({"plugin", "describe", "none.so"}, "error: none.so: there is no such file\n");
  expect({"artifacts", "show"},
         "error: ARTIFACT is required\n  hint: `genflow artifacts show --help` shows what it takes\n");
  expect({"run"},
         "error: no pipeline was given, and there is no pipeline.yaml here\n"
         "  hint: name one: genflow run path/to/pipeline.yaml\n");
  expect({"runs", "ls"},
         "error: there is no store (.genflow) here, in a folder above or in one right below\n"
         "  hint: go to the folder of a pipeline that has run, or give --store DIR\n");
  expect({"stages", "show", "test.atc"},
         "error: no stage is called 'test.atc'\n  hint: did you mean 'test.act'?\n");
}

TEST(Usage, ACommandThatNeedsAnotherShowsItsHelp) {
  Sandbox box;
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{}, {"runs"}, {"artifacts"}, {"stages"}, {"plugin"}}) {
    const auto alone = box.Genflow(command);
    EXPECT_EQ(alone.code, 2);
    EXPECT_EQ(alone.out, "");
    auto help = command;
    help.push_back("--help");
    EXPECT_EQ(alone.err, box.Genflow(help).out);
  }
}

TEST(Usage, HelpNamesWhatOptionsTake) {
  Sandbox box;
  EXPECT_EQ(
      box.Genflow({"artifacts", "export", "--help"}).out,
      "Copy an artifact out of the store\n"
      "Usage: genflow artifacts export [OPTIONS] ARTIFACT TARGET\n"
      "\n"
      "Positionals:\n"
      "  ARTIFACT REQUIRED           RUN:STAGE.PORT, STAGE.PORT (of the latest run), or the beginning of a "
      "digest\n"
      "  TARGET REQUIRED             A path that does not exist yet\n"
      "\n"
      "Options:\n"
      "  -h,--help                   Print this help message and exit\n"
      "  --link                      Hard links instead of copies: no space, read-only\n"
      "  --store DIR                 The run store (default: .genflow beside the pipeline, or "
      "$GENFLOW_STORE)\n"
      "  --json                      JSON on stdout\n"
      "\n"
      "Example:\n"
      "  genflow artifacts export package.package ./linux-helper\n");
  const std::string run = box.Genflow({"run", "--help"}).out;
  EXPECT_EQ(run.find("TEXT"), std::string::npos) << run;
  EXPECT_NE(run.find("  -p,--param NAME=VALUE ...   Sets a parameter"), std::string::npos) << run;
  EXPECT_NE(run.find("  -j,--jobs N "), std::string::npos) << run;
}

TEST(Usage, EveryCommandHasHelpWithAnExample) {
  Sandbox box;
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"run"},
                                             {"plan"},
                                             {"validate"},
                                             {"runs", "ls"},
                                             {"runs", "show"},
                                             {"runs", "tag"},
                                             {"runs", "rm"},
                                             {"logs"},
                                             {"artifacts", "ls"},
                                             {"artifacts", "show"},
                                             {"artifacts", "export"},
                                             {"fsck"},
                                             {"gc"},
                                             {"stages", "ls"},
                                             {"stages", "show"},
                                             {"stages", "reference"},
                                             {"stages", "run"},
                                             {"plugin", "describe"},
                                             {"version"},
                                             {"schema"}}) {
    std::vector<std::string> args = command;
    args.push_back("--help");
    const auto help = box.Genflow(args);
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("Example"), std::string::npos) << (command.empty() ? "" : command.back());
  }
}

TEST(Usage, ValidateShowsEveryErrorAtOnce) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: v\nstages:\n  a:\n    uses: test.act\n    with: { txt: x }\n  b:\n    uses: test.cont\n");
  const auto result = box.Genflow({"validate"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("pipeline.yaml:5:13: error: "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("pipeline.yaml:7:11: error: unknown stage 'test.cont'\n"), std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("\n2 errors\n"), std::string::npos) << result.err;
  const json out = json::parse(box.Genflow({"validate", "--json"}).out);
  EXPECT_EQ(out["valid"], false);
  EXPECT_EQ(out["diagnostics"].size(), 2u);
}

TEST(Usage, ValidateOfAGoodPipeline) {
  Sandbox box;
  box.Write("sub/p.yaml", "name: v\nstages:\n  a:\n    uses: test.act\n");
  const auto result = box.Genflow({"validate", "sub/p.yaml"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "sub/p.yaml: valid (1 stage)\n");
  EXPECT_FALSE(box.Exists("sub/.genflow"));
}

TEST(Usage, StagesAndSchema) {
  Sandbox box;
  const auto list = box.Genflow({"stages", "ls"});
  EXPECT_TRUE(std::regex_search(list.out, std::regex("(^|\n)test\\.act +1\\.0\\.0 +Behaves as told\\.\n")))
      << list.out;
  const json shown = json::parse(box.Genflow({"stages", "show", "test.count", "--json"}).out);
  EXPECT_EQ(shown["outputs"][0]["name"], "steps");
  EXPECT_NE(box.Genflow({"stages", "show", "test.count"})
                .out.find("\n  steps  int, 1..1000000, default 3\n      How far to count.\n"),
            std::string::npos);
  const auto exec = box.Genflow({"stages", "show", "exec"});
  EXPECT_EQ(exec.code, 0);
  EXPECT_EQ(exec.out.find("exec\nRuns a shell text with declared outputs.\n"), 0u) << exec.out;
  EXPECT_EQ(json::parse(box.Genflow({"stages", "ls", "--json"}).out).back()["name"], "exec");
  EXPECT_NE(json::parse(box.Genflow({"schema"}).out).dump().find("test.count"), std::string::npos);
}

TEST(Usage, ReferencePages) {
  Sandbox box;
  ASSERT_EQ(box.Genflow({"stages", "reference", "--output", "ref"}).code, 0);
  const std::string page = box.Read("ref/test.md");
  EXPECT_EQ(page.find("# Plugin test\n\n## test.act\n\nBehaves as told.\n\nVersion 1.0.0.\n"), 0u) << page;
  EXPECT_NE(page.find("| `steps` | int, 1..1000000 | `3` | How far to count. |\n"), std::string::npos)
      << page;
  EXPECT_NE(box.Read("ref/README.md").find("| [test.act](test.md#testact) | Behaves as told. |\n"),
            std::string::npos);
}

}  // namespace
}  // namespace genflow
