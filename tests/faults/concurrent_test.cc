// Twenty `genflow run` at once on one new store.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "faults/storm.h"

namespace genflow {
namespace {

constexpr int kCommands = 20;

// An exec stage that adds a line to tally/NAME, outside of the store.
std::string Tallied(const std::string& id, const std::string& name, const std::string& needs) {
  return "  " + id + ":\n    uses: exec\n" + (needs.empty() ? "" : "    in: { a: " + needs + ".out }\n") +
         "    with: { run: 'echo run >> tally/" + name + "; sleep 0.05; echo " + name +
         " > \"$GENFLOW_OUT_OUT\"' }\n    out: { out: file }\n";
}

std::string Pipeline(const std::string& name, const std::string& own) {
  return "name: " + name + "\nstages:\n" + Tallied("first", "shared-1", "") +
         Tallied("second", "shared-2", "first") + Tallied("beside", "shared-3", "first") +
         (own.empty() ? "" : Tallied("own", own, "second")) +
         "  count:\n    uses: test.count\n    in: { after: second.out }\n    with: { steps: 5, pause: 0.01 "
         "}\n" +
         "  last:\n    uses: test.act\n    in: { in: [second.out, beside.out, count.steps" +
         (own.empty() ? "" : ", own.out") + "] }\n";
}

size_t Lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Runs all at once; each must be right.
std::vector<CommandResult> RunAll(const Sandbox& box, const std::vector<std::string>& files) {
  std::vector<RunningCommand> commands;
  for (const std::string& file : files) commands.push_back(box.Start({"run", file, "--json"}));
  std::vector<CommandResult> results;
  for (auto& command : commands) results.push_back(command.Wait());
  return results;
}

TEST(ConcurrentRuns, OfTheSameAndOfDifferentPipelinesComputeEachKeyOnce) {
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    Sandbox box;
    box.Write("tally/.keep", "");
    std::vector<std::string> files;
    for (int i = 0; i < kCommands; ++i) {
      // The even ones are one pipeline in many files; the odd ones share three stages with it.
      const std::string n = std::to_string(i);
      files.push_back("p" + n + ".yaml");
      box.Write(files.back(), i % 2 == 0 ? Pipeline("same", "") : Pipeline("different-" + n, "own-" + n));
    }
    int stages = 0, ran = 0;
    for (const CommandResult& result : RunAll(box, files)) {
      ASSERT_EQ(result.code, 0) << result.err;
      const size_t at = result.out.rfind("{\"event\":\"run-finished\"");
      ASSERT_NE(at, std::string::npos) << result.out;
      const auto finished = nlohmann::json::parse(result.out.substr(at));
      EXPECT_EQ(finished.at("status"), "ok");
      for (const auto& stage : finished.at("stages")) {
        ++stages;
        EXPECT_TRUE(stage.at("status") == "ran" || stage.at("status") == "cached") << stage.dump();
        ran += stage.at("status") == "ran" ? 1 : 0;
      }
    }
    std::printf("%d runs at once: %d stages ended, %d of them computed\n", kCommands, stages, ran);
    EXPECT_EQ(stages, kCommands / 2 * (5 + 6));
    // Shared: three exec stages, the count, the last one of the even ones; two stages of each odd one.
    EXPECT_EQ(ran, 5 + kCommands / 2 * 2);
    for (const char* name : {"shared-1", "shared-2", "shared-3"})
      EXPECT_EQ(box.Read(std::string("tally/") + name), "run\n") << name;
    for (int i = 1; i < kCommands; i += 2)
      EXPECT_EQ(box.Read("tally/own-" + std::to_string(i)), "run\n") << i;
    EXPECT_EQ(FsckProblems(box), "");
    const auto runs = box.Genflow({"runs", "ls", "--json"});
    EXPECT_EQ(nlohmann::json::parse(runs.out).size(), static_cast<size_t>(kCommands));
    EXPECT_EQ(box.Shell("ls .genflow/staging .genflow/state | grep -v : | grep . || true").out, "");
  }
}

TEST(ConcurrentRuns, OfTheSameFileRunOnceAndTellTheOthersWhoRunsIt) {
  Sandbox box;
  box.Write("tally/.keep", "");
  box.Write("pipeline.yaml", Pipeline("same", ""));
  int done = 0, refused = 0;
  const std::vector<std::string> files(kCommands, "pipeline.yaml");
  for (const CommandResult& result : RunAll(box, files)) {
    if (result.code == 0) {
      ++done;
      continue;
    }
    EXPECT_EQ(result.code, 4) << result.err;
    EXPECT_NE(result.err.find("pipeline.yaml: is being run by "), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("  hint: wait for it to finish, or stop it with `kill "), std::string::npos)
        << result.err;
    ++refused;
  }
  std::printf("%d runs of one file at once: %d done, %d refused\n", kCommands, done, refused);
  EXPECT_GE(done, 1);
  EXPECT_EQ(done + refused, kCommands);
  EXPECT_EQ(Lines(box.Read("tally/shared-1")), 1u);
  EXPECT_EQ(FsckProblems(box), "");
}

}  // namespace
}  // namespace genflow
