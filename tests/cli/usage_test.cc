// The command line: help, versions, mistakes.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "cli/sandbox.h"
#include "cli/terminal_session.h"

namespace genflow {
namespace {

using nlohmann::json;

TEST(Usage, Version) {
  Sandbox box;
  const auto version = box.Genflow({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out.substr(0, 8), "genflow ");
  EXPECT_EQ(box.Genflow({"version"}).out, version.out);
  EXPECT_EQ(box.Json({"version", "--json"})["abi_major"], 1);
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
  expect({"resume"},
         "error: unknown command 'resume'\n"
         "  hint: `genflow run` with the same arguments goes on where the last run stopped\n");
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
         "  hint: name one: path/to/pipeline.yaml\n");
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
  EXPECT_EQ(box.Genflow({"artifacts", "export", "--help"}).out,
            "Copy an artifact out of the store\n"
            "Usage: genflow artifacts export [OPTIONS] ARTIFACT TARGET\n"
            "\n"
            "Positionals:\n"
            "  ARTIFACT REQUIRED           RUN:STAGE.PORT, STAGE.PORT (of the latest run), or\n"
            "                              the beginning of a digest\n"
            "  TARGET REQUIRED             A path that does not exist yet\n"
            "\n"
            "Options:\n"
            "  -h,--help                   Print this help message and exit\n"
            "  --link                      Hard links instead of copies: no space, read-only\n"
            "  --store DIR                 The run store (default: .genflow beside the\n"
            "                              pipeline, or $GENFLOW_STORE)\n"
            "  --json                      JSON on stdout\n"
            "\n"
            "Example:\n"
            "  genflow artifacts export package.package ./linux-helper\n");
  const std::string run = box.Genflow({"run", "--help"}).out;
  EXPECT_EQ(run.find("TEXT"), std::string::npos) << run;
  EXPECT_NE(run.find("  -p,--param NAME=VALUE ...   Sets a parameter"), std::string::npos) << run;
  EXPECT_NE(run.find("  -j,--jobs N "), std::string::npos) << run;
}

// The commands that a help text lists.
std::vector<std::string> CommandsIn(const std::string& help) {
  std::vector<std::string> out;
  std::istringstream lines(help);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (inside && line.starts_with("  ") && line[2] != ' ')
      out.push_back(line.substr(2, line.find(' ', 2) - 2));
    inside = line == "Subcommands:" || (inside && !line.empty());
  }
  return out;
}

// Checks the help of a command and of all below it; returns how many there are.
int CheckHelp(const Sandbox& box, const std::vector<std::string>& command) {
  auto args = command;
  args.push_back("--help");
  const auto help = box.Genflow(args);
  const std::string name = command.empty() ? "genflow" : command.back();
  EXPECT_EQ(help.code, 0) << name;
  EXPECT_EQ(help.err, "") << name;
  EXPECT_NE(help.out.find("\nExample"), std::string::npos) << name << " has no example";
  EXPECT_NE(help.out.find("\n  genflow "), std::string::npos) << name << " has no example";
  std::istringstream lines(help.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << name << ": " << line;
  int count = 1;
  for (const auto& below : CommandsIn(help.out)) {
    auto next = command;
    next.push_back(below);
    count += CheckHelp(box, next);
  }
  return count;
}

TEST(Usage, EveryCommandHasHelpWithAnExampleThatFitsATerminal) {
  Sandbox box;
  EXPECT_GE(CheckHelp(box, {}), 25);
}

TEST(Usage, HelpIsAsWideAsTheTerminal) {
  Sandbox box;
  for (const int columns : {50, 80, 100}) {
    TerminalSession session(box, {"run", "--help"}, columns, 60);
    EXPECT_EQ(session.Wait(), 0);
    EXPECT_EQ(session.raw().find("\x1b"), std::string::npos);
    std::istringstream lines(session.raw());
    size_t longest = 0;
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("  genflow") && line.find("xit codes") == std::string::npos &&
          !line.starts_with("4 another"))
        longest = std::max(longest, line.size() - (line.ends_with('\r') ? 1 : 0));
    }
    EXPECT_LE(longest, static_cast<size_t>(columns));
    EXPECT_GT(longest, static_cast<size_t>(columns) - 12) << "the room is used";
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
  const json shown = box.Json({"stages", "show", "test.count", "--json"});
  EXPECT_EQ(shown["outputs"][0]["name"], "steps");
  EXPECT_NE(box.Genflow({"stages", "show", "test.count"})
                .out.find("\n  steps  int, 1..1000000, default 3\n      How far to count.\n"),
            std::string::npos);
  const auto exec = box.Genflow({"stages", "show", "exec"});
  EXPECT_EQ(exec.code, 0);
  EXPECT_EQ(exec.out.find("exec\nRuns a shell text with declared outputs.\n"), 0u) << exec.out;
  EXPECT_EQ(box.Json({"stages", "ls", "--json"}).back()["name"], "exec");
  EXPECT_NE(box.Json({"schema"}).dump().find("test.count"), std::string::npos);
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
