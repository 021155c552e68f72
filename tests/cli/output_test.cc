// What the views print: plain lines, JSON events, silence, colours.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/sandbox.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kCount[] =
    "name: c\nstages:\n  count:\n    uses: test.count\n    with: { steps: 3 }\n"
    "  talk:\n    uses: test.act\n    in: { in: count.steps }\n    with: { do: talk }\n";

TEST(Output, JsonIsOneEventALineAndNothingElse) {
  Sandbox box;
  box.Write("pipeline.yaml", kCount);
  const auto run = box.Genflow({"run", "--json"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.err, "");
  std::vector<std::string> events;
  std::istringstream lines(run.out);
  json last;
  int metrics = 0;
  for (std::string line; std::getline(lines, line);) {
    last = json::parse(line);
    const std::string event = last.at("event");
    if (event == "metric") ++metrics;
    if (event != "progress" && event != "metric" && event != "log") events.push_back(event);
  }
  EXPECT_EQ(events, (std::vector<std::string>{"run-started", "stage-started", "stage-finished",
                                              "stage-started", "stage-finished", "run-finished"}));
  EXPECT_EQ(metrics, 3);
  EXPECT_EQ(last["exit_code"], 0);
  EXPECT_EQ(last["status"], "ok");
  ASSERT_EQ(last["stages"].size(), 2u);
  EXPECT_EQ(last["stages"][0]["status"], "ran");
  EXPECT_EQ(last["stages"][0]["outputs"][0]["port"], "steps");
}

TEST(Output, JsonOfAnInvalidPipeline) {
  Sandbox box;
  box.Write("pipeline.yaml", "name: c\nstages:\n  a:\n    uses: test.cuont\n");
  const auto run = box.Genflow({"run", "--json"});
  EXPECT_EQ(run.code, 2);
  const json line = json::parse(run.out);
  EXPECT_EQ(line["event"], "diagnostics");
  EXPECT_EQ(line["diagnostics"][0]["message"], "unknown stage 'test.cuont'");
}

TEST(Output, WhatCannotBeWrittenIsAFailure) {
  Sandbox box;
  box.Write("pipeline.yaml", kCount);
  ASSERT_EQ(box.Genflow({"run", "--quiet"}).code, 0);
  for (const std::string command : {"runs ls --json", "runs ls", "--help", "run --json"}) {
    const auto full = box.Shell(GENFLOW_BINARY " " + command + " > /dev/full");
    EXPECT_EQ(full.code, 1) << command;
    EXPECT_NE(full.err.find("error: standard output"), std::string::npos) << command << full.err;
  }
  const auto closed = box.Shell(GENFLOW_BINARY " run -q >&-");
  EXPECT_EQ(closed.code, 0) << "nothing was said: " << closed.err;
  const auto head = box.Shell("set -o pipefail; " GENFLOW_BINARY " schema | head -c 1");
  EXPECT_EQ(head.err, "");
}

TEST(Output, QuietSaysNothingButErrors) {
  Sandbox box;
  box.Write("pipeline.yaml", kCount);
  const auto run = box.Genflow({"run", "--quiet"});
  EXPECT_EQ(run.code, 0);
  EXPECT_EQ(run.out + run.err, "");
  box.Write("pipeline.yaml", "name: c\nstages:\n  a:\n    uses: test.act\n    with: { do: io }\n");
  const auto failed = box.Genflow({"run", "--quiet"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_EQ(failed.out, "");
  EXPECT_EQ(box.Normal(failed.err), "error: a: the network is gone\n  log: DIR/.genflow/logs/RUN/a.1.log\n");
}

TEST(Output, PlainLinesHoldNoEscapes) {
  Sandbox box;
  box.SetEnv("TERM", "xterm-256color");
  box.Write("pipeline.yaml", kCount);
  const auto run = box.Genflow({"run"});
  EXPECT_EQ((run.out + run.err).find('\x1b'), std::string::npos);
  EXPECT_NE(run.err.find("talk: warning: to the log\n"), std::string::npos) << run.err;
}

// Runs the command in a pseudo-terminal by script(1); returns what the terminal got.
std::string InTerminal(Sandbox& box, const std::string& more_env) {
  const auto shell = box.Shell("export TERM=xterm " + more_env + "; script -qec 'stty cols 60 rows 10; " +
                               std::string(GENFLOW_BINARY) + " run --force' /dev/null < /dev/null");
  EXPECT_EQ(shell.code, 0) << shell.out << shell.err;
  return shell.out;
}

TEST(Output, TerminalGetsALiveViewWithinItsWidth) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: c\nstages:\n  a-stage-with-a-very-long-name-that-does-not-fit:\n    uses: test.count\n"
            "    with: { steps: 40, pause: 0.02 }\n");
  const std::string text = InTerminal(box, "");
  EXPECT_NE(text.find("\x1b[J"), std::string::npos) << "the block is redrawn in place";
  EXPECT_NE(text.find("a-stage-with-a-very-lon…"), std::string::npos);
  EXPECT_NE(text.find("steps"), std::string::npos);
  EXPECT_NE(text.find("0/1 done, 1 running"), std::string::npos) << text;
  EXPECT_NE(text.find("\x1b[32m✓\x1b[0m"), std::string::npos) << text;
}

TEST(Output, NoColorLeavesThePositionsAndNoColours) {
  Sandbox box;
  box.Write("pipeline.yaml", kCount);
  const std::string text = InTerminal(box, "NO_COLOR=1");
  EXPECT_NE(text.find("\x1b[J"), std::string::npos);
  EXPECT_EQ(text.find("\x1b[3"), std::string::npos) << text;
  EXPECT_EQ(text.find("\x1b[1m"), std::string::npos) << text;
}

}  // namespace
}  // namespace genflow
