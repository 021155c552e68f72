// Stopping a run, by signal and by force, and going on.
#include <gtest/gtest.h>

#include <csignal>

#include "cli/sandbox.h"

namespace genflow {
namespace {

// Counts for some seconds; the second run is quick.
constexpr char kSlow[] =
    "name: slow\nstages:\n  count:\n    uses: test.count\n    with: { steps: 200, pause: 0.02 }\n"
    "  next:\n    uses: test.act\n    in: { in: count.steps }\n";
constexpr char kQuick[] =
    "name: slow\nstages:\n  count:\n    uses: test.count\n    with: { steps: 200 }\n"
    "  next:\n    uses: test.act\n    in: { in: count.steps }\n";

// Until the counter has taken some steps.
bool WaitForSteps(const Sandbox& box) {
  return box.WaitFor("cat .genflow/state/*/steps 2>/dev/null | grep -q 'step 5'");
}

constexpr char kHang[] =
    "name: h\nstages:\n  hang:\n    uses: test.act\n    with: { do: hang, seconds: 60 }\n";

// Until the stage hangs: before that, it may not have taken over the signals.
bool WaitForHang(const Sandbox& box) { return box.WaitFor("grep -qs hanging .genflow/logs/*/hang.*"); }

void ExpectContinues(const Sandbox& box) {
  box.Write("pipeline.yaml", kQuick);
  const auto again = box.Genflow({"run"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.err.find("count: started (was interrupted in run "), std::string::npos) << again.err;
  const auto log = box.Genflow({"logs", "count"});
  EXPECT_EQ(log.out.find("starting from step 0"), std::string::npos) << log.out;
  std::string all;
  for (int step = 0; step < 200; ++step) all += "step " + std::to_string(step) + "\n";
  EXPECT_EQ(box.Artifact("count.steps"), all);
}

TEST(Interrupt, CtrlCStopsCleanlyAndARerunContinues) {
  Sandbox box;
  box.Write("pipeline.yaml", kSlow);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForSteps(box));
  run.Signal(SIGINT);
  const auto stopped = run.Wait();
  EXPECT_EQ(stopped.code, 75);
  EXPECT_EQ(box.Normal(stopped.err),
            "count: started (never ran before)\n"
            "stopping: stages have TIME to save their state; Ctrl-C again kills them\n"
            "next: skipped: the run was stopped\n"
            "count: interrupted after TIME\n"
            "interrupted: the same command continues from here\n");
  EXPECT_NE(box.Genflow({"runs", "ls"}).out.find("  interrupted  "), std::string::npos);
  ExpectContinues(box);
}

TEST(Interrupt, SigtermIsTheSame) {
  Sandbox box;
  box.Write("pipeline.yaml", kSlow);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForSteps(box));
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait().code, 75);
  ExpectContinues(box);
}

TEST(Interrupt, SecondCtrlCKills) {
  Sandbox box;
  box.Write("pipeline.yaml", kHang);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForHang(box));
  run.Signal(SIGINT);
  ASSERT_TRUE(run.WaitForError("stopping: "));
  run.Signal(SIGINT);
  const auto stopped = run.Wait();
  EXPECT_EQ(stopped.code, 130) << "nothing was done that a rerun could use";
  EXPECT_NE(stopped.err.find("killing the running stages\n"), std::string::npos) << stopped.err;
}

TEST(Interrupt, GraceEndsWithAKill) {
  Sandbox box;
  box.Write("pipeline.yaml", kHang);
  auto run = box.Start({"run", "--grace", "200ms"});
  ASSERT_TRUE(WaitForHang(box));
  run.Signal(SIGTERM);
  EXPECT_EQ(run.Wait().code, 143);
}

TEST(Interrupt, ExecStagesEndWithTheRun) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: e\nstages:\n  s:\n    uses: exec\n    with: { run: 'echo $$ > pid; sleep 60 & wait' }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("test -s pid"));
  run.Signal(SIGINT);
  EXPECT_EQ(run.Wait().code, 130);
}

// The shell that runs it ends of SIGTERM at once.
TEST(Interrupt, AProgramThatAnExecStageRunsSavesItsState) {
  Sandbox box;
  box.Write("train.sh",
            "trap 'sleep 0.5; echo saved > \"$GENFLOW_STATE_DIR/checkpoint\"; exit 75' TERM\n"
            "touch began; while :; do sleep 0.02; done\n");
  const std::string stage =
      "name: e\nstages:\n  s:\n    uses: exec\n    with: { run: 'bash train.sh; echo x' }\n";
  box.Write("pipeline.yaml", stage);
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("test -e began"));
  run.Signal(SIGINT);
  EXPECT_EQ(run.Wait().code, 75) << "a rerun has a checkpoint to continue from";
  EXPECT_EQ(box.Shell("cat .genflow/state/*/checkpoint; rm .genflow/state/*/checkpoint").out, "saved\n");
  box.Write("pipeline.yaml", stage + "    timeout: 1s\n");
  EXPECT_EQ(box.Genflow({"run"}).code, 1);
  EXPECT_EQ(box.Shell("cat .genflow/state/*/checkpoint").out, "saved\n") << "a timeout asks likewise";
}

TEST(Interrupt, EngineKilledTakesItsWorkersAlongAndTheNextRunContinues) {
  Sandbox box;
  box.Write("pipeline.yaml", kSlow);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForSteps(box));
  const std::string children = box.Shell("cat /proc/" + std::to_string(run.pid()) + "/task/*/children").out;
  EXPECT_NE(children, "");
  run.Signal(SIGKILL);
  EXPECT_EQ(run.Wait().code, 137);
  EXPECT_TRUE(box.WaitForEndOf(children)) << "workers outlive the engine";
  ExpectContinues(box);
}

TEST(Interrupt, GrandchildrenOfExecStagesDieWithAKilledEngine) {
  Sandbox box;
  box.Write("pipeline.yaml",
            "name: e\nstages:\n  s:\n    uses: exec\n    with: { run: 'sleep 60 & echo $! > pid; wait' }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("test -s pid"));
  run.Signal(SIGKILL);
  EXPECT_EQ(run.Wait().code, 137);
  EXPECT_TRUE(box.WaitForEndOf("$(cat pid)"));
}

// Also those that have left the stage's process group.
TEST(Interrupt, DaemonsOfExecStagesDieWithAKilledEngine) {
  Sandbox box;
  box.Write(
      "pipeline.yaml",
      "name: e\nstages:\n  s:\n    uses: exec\n    with: { run: \"setsid -f bash -c 'echo $$ > pid; sleep "
      "60 & wait'; sleep 60\" }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("test -s pid"));
  run.Signal(SIGKILL);
  EXPECT_EQ(run.Wait().code, 137);
  EXPECT_TRUE(box.WaitForEndOf("$(cat pid)"));
}

TEST(Interrupt, TwoRunsOfOnePipelineAtOnce) {
  Sandbox box;
  box.Write("pipeline.yaml", kSlow);
  auto first = box.Start({"run"});
  ASSERT_TRUE(first.WaitForError("count: started"));
  const auto second = box.Genflow({"run"});
  EXPECT_EQ(second.code, 4);
  const std::string err = box.Normal(second.err);
  EXPECT_NE(err.find("error: "), std::string::npos);
  EXPECT_NE(err.find("run RUN"), std::string::npos) << err;
  EXPECT_NE(err.find(std::to_string(first.pid())), std::string::npos) << err;
  ASSERT_TRUE(WaitForSteps(box));
  first.Signal(SIGINT);
  EXPECT_EQ(first.Wait().code, 75);
  ExpectContinues(box);
}

TEST(Interrupt, SameKeyInTwoPipelinesIsComputedOnce) {
  Sandbox box;
  const std::string stages =
      "stages:\n  work:\n    uses: exec\n    with: { run: 'sleep 1; echo ran >> log; echo x > "
      "\"$GENFLOW_OUT_X\"' }\n"
      "    out: { x: file }\n";
  box.Write("one.yaml", "name: one\n" + stages);
  box.Write("two.yaml", "name: two\n" + stages);
  auto one = box.Start({"run", "one.yaml"});
  ASSERT_TRUE(one.WaitForError("work: started"));
  const auto two = box.Genflow({"run", "two.yaml"});
  EXPECT_EQ(one.Wait().code, 0);
  EXPECT_EQ(two.code, 0);
  EXPECT_EQ(box.Normal(two.err), "work: waits for run RUN, which is computing it\n");
  EXPECT_EQ(box.Read("log"), "ran\n");
}

}  // namespace
}  // namespace genflow
