// A training in two processes, of which one is killed at a random instant: the run ends at once, and the next
// one, or the retry, ends in the bytes of an undisturbed run.
//   processes_test [--count N] [--seed S]
#include "testing/processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "cli/training_sandbox.h"
#include "faults/asked.h"
#include "faults/storm.h"

namespace genflow {
namespace {

// `settings`: lines of the stage that trains.
void Prepare(const Sandbox& box, const std::string& settings = {}) {
  PrepareTraining(
      box, TrainingPipeline({.max_steps = 400, .batch = 2, .cpus = 2, .processes = 2, .settings = settings}));
}

struct Calm {
  double seconds = 0;
  std::string digest;
};
const Calm& Undisturbed() {
  static const Calm calm = [] {
    Sandbox box;
    Prepare(box);
    Calm out;
    const double began = Seconds();
    const auto run = box.Genflow({"run"});
    EXPECT_EQ(run.code, 0) << run.err;
    out.seconds = Seconds() - began;
    out.digest = TrainedDigest(box);
    const auto log = box.Genflow({"logs", "tune"});
    EXPECT_NE(log.out.find("2 processes of 1 thread each"), std::string::npos) << log.out;
    return out;
  }();
  return calm;
}

// The process that trains beside the stage's worker, and the worker; nothing while they are not both there.
std::vector<pid_t> Pair(pid_t engine) {
  for (const pid_t worker : WorkersOf(engine)) {
    const auto others = WorkersOf(worker);
    if (!others.empty()) return {others[0], worker};
  }
  return {};
}

TEST(Processes, AreReportedAsOneAndRepeatThemselves) {
  ASSERT_EQ(Undisturbed().digest.size(), 64u);
  Sandbox box;
  Prepare(box);
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(TrainedDigest(box), Undisturbed().digest);
  const auto log = box.Genflow({"logs", "tune"});
  const std::string line = "examples, ";
  EXPECT_EQ(log.out.find(line), log.out.rfind(line)) << "said once\n" << log.out;
}

TEST(Processes, OneThatIsKilledEndsTheRunAndTheNextOneContinues) {
  const Calm& calm = Undisturbed();
  const int times = WasAsked().count.value_or(6);
  const unsigned seed = WasAsked().seed;
  std::mt19937 random(seed);
  int lost = 0;
  for (int i = 0; i < times; ++i) {
    const double instant = std::uniform_real_distribution<double>(0.2, 1.0)(random) * calm.seconds;
    const size_t whom = static_cast<size_t>(i) % 2;
    SCOPED_TRACE((whom == 0 ? "the other process after " : "the worker after ") + std::to_string(instant) +
                 " s, seed " + std::to_string(seed));
    Sandbox box;
    Prepare(box);
    const double began = Seconds();
    auto run = box.Start({"run"});
    std::vector<pid_t> pair;
    while (pair.empty() && Seconds() - began < calm.seconds + 5) {
      ::usleep(2000);
      pair = Pair(run.pid());
    }
    if (const double left = instant - (Seconds() - began); left > 0)
      ::usleep(static_cast<useconds_t>(left * 1e6));
    if (!pair.empty()) ::kill(pair[whom], SIGKILL);
    const double killed = Seconds();
    const auto ended = run.Wait();
    EXPECT_LT(Seconds() - killed, 30) << "it does not hang";
    // 0: it was killed when its work was done.
    EXPECT_TRUE(ended.code == 0 || ended.code == (whom == 0 ? 75 : 1)) << ended.code << "\n" << ended.err;
    if (ended.code == 75) {
      ++lost;
      EXPECT_NE(ended.err.find("lost process 2 of 2: killed by signal 9 (Killed)"), std::string::npos)
          << ended.err;
    }
    for (const pid_t pid : pair) EXPECT_TRUE(box.WaitForEndOf(std::to_string(pid)));
    const auto again = box.Genflow({"run"});
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(TrainedDigest(box), calm.digest);
    EXPECT_EQ(FsckProblems(box), "");
  }
  EXPECT_GT(lost, 0) << "none of the kills met a training";
}

TEST(Processes, ARetryContinuesInTheSameRun) {
  Sandbox box;
  Prepare(box, "    retries: { max: 1, backoff: 100ms }\n");
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForCheckpoint(box));
  const auto pair = Pair(run.pid());
  ASSERT_EQ(pair.size(), 2u);
  ::kill(pair[0], SIGKILL);
  const auto ended = run.Wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(TrainedDigest(box), Undisturbed().digest);
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find("continuing from the checkpoint of step "), std::string::npos) << log.out;
}

TEST(Processes, AskedToStopAllDo) {
  Sandbox box;
  Prepare(box);
  auto run = box.Start({"run"});
  ASSERT_TRUE(WaitForCheckpoint(box));
  const auto pair = Pair(run.pid());
  run.Signal(SIGTERM);
  const auto ended = run.Wait();
  EXPECT_EQ(ended.code, 75) << ended.err;
  for (const pid_t pid : pair) EXPECT_TRUE(box.WaitForEndOf(std::to_string(pid)));
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(TrainedDigest(box), Undisturbed().digest);
}

TEST(Processes, TheFailureOfOneIsTheStages) {
  Sandbox box;
  Prepare(box);
  box.Write("chats.jsonl", R"({"messages": [{"role": "user", "content": "Anyone?"}]})"
                           "\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: tune: 1 of 1 examples have no assistant tokens"), std::string::npos)
      << run.err;
}

}  // namespace
}  // namespace genflow
