// A training in two processes, of which one is killed at a random instant: the run ends at once, and the next
// one, or the retry, ends in the bytes of an undisturbed run.
//   processes_test [--count N] [--seed S]
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>

#include "base/process_tree.h"
#include "faults/storm.h"
#include "unit/eval/tiny_model.h"

namespace genflow {
namespace {

int g_count = 6;
unsigned g_seed = 1;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<pid_t> ChildrenOf(pid_t pid) {
  std::vector<pid_t> children;
  const std::string id = std::to_string(pid);
  std::ifstream list("/proc/" + id + "/task/" + id + "/children");
  for (pid_t child = 0; list >> child;) {
    if (!IsGuardian(child)) children.push_back(child);
  }
  return children;
}

std::string Pipeline(int processes, const std::string& more = {}) {
  return "name: together\n"
         "stages:\n"
         "  base:\n"
         "    uses: model.import\n"
         "    with: { path: model }\n"
         "  chats:\n"
         "    uses: data.read\n"
         "    with: { files: [chats.jsonl] }\n"
         "  tune:\n"
         "    uses: train.lora\n"
         "    in: { model: base.model, dataset: chats.dataset }\n"
         "    resources: { cpus: 2, processes: " +
         std::to_string(processes) + " }\n" + more +
         "    with:\n"
         "      lora: { r: 4, dropout: 0.1 }\n"
         "      max_steps: 400\n"
         "      max_length: 256\n"
         "      per_device_train_batch_size: 2\n"
         "      dtype: fp32\n"
         "      device: cpu\n"
         "      checkpoint_interval: 100ms\n";
}

void Prepare(const Sandbox& box, const std::string& pipeline) {
  box.Write("pipeline.yaml", pipeline);
  testing_support::WriteTinyModel(box.dir() / "model", 1);
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    const std::string n = std::to_string(i);
    lines += R"({"messages": [{"role": "user", "content": "And )" + n +
             R"( then?"}, {"role": "assistant", "content": "It is )" + n + R"(, and then )" + n + R"(."}]})" +
             "\n";
  }
  box.Write("chats.jsonl", lines);
}

std::string AdapterOf(const Sandbox& box) {
  const auto state = LatestRun(box);
  return state && state->digests.contains("tune.adapter") ? state->digests.at("tune.adapter") : "";
}

struct Calm {
  double seconds = 0;
  std::string digest;
};
const Calm& Undisturbed() {
  static const Calm calm = [] {
    Sandbox box;
    Prepare(box, Pipeline(2));
    Calm out;
    const double began = Seconds();
    const auto run = box.Genflow({"run"});
    EXPECT_EQ(run.code, 0) << run.err;
    out.seconds = Seconds() - began;
    out.digest = AdapterOf(box);
    const auto log = box.Genflow({"logs", "tune"});
    EXPECT_NE(log.out.find("2 processes of 1 thread each"), std::string::npos) << log.out;
    return out;
  }();
  return calm;
}

// The process that trains beside the stage's worker, and the worker; nothing while they are not both there.
std::vector<pid_t> Pair(pid_t engine) {
  for (const pid_t worker : ChildrenOf(engine)) {
    const auto others = ChildrenOf(worker);
    if (!others.empty()) return {others[0], worker};
  }
  return {};
}

TEST(Processes, AreReportedAsOneAndRepeatThemselves) {
  ASSERT_EQ(Undisturbed().digest.size(), 64u);
  Sandbox box;
  Prepare(box, Pipeline(2));
  const auto run = box.Genflow({"run"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(AdapterOf(box), Undisturbed().digest);
  const auto log = box.Genflow({"logs", "tune"});
  const std::string line = "examples, ";
  EXPECT_EQ(log.out.find(line), log.out.rfind(line)) << "said once\n" << log.out;
}

TEST(Processes, OneThatIsKilledEndsTheRunAndTheNextOneContinues) {
  const Calm& calm = Undisturbed();
  std::mt19937 random(g_seed);
  int lost = 0;
  for (int i = 0; i < g_count; ++i) {
    const double instant = std::uniform_real_distribution<double>(0.2, 1.0)(random) * calm.seconds;
    const size_t whom = static_cast<size_t>(i) % 2;
    SCOPED_TRACE((whom == 0 ? "the other process after " : "the worker after ") + std::to_string(instant) +
                 " s, seed " + std::to_string(g_seed));
    Sandbox box;
    Prepare(box, Pipeline(2));
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
    EXPECT_EQ(AdapterOf(box), calm.digest);
    EXPECT_EQ(FsckProblems(box), "");
  }
  EXPECT_GT(lost, 0) << "none of the kills met a training";
}

TEST(Processes, ARetryContinuesInTheSameRun) {
  Sandbox box;
  Prepare(box, Pipeline(2, "    retries: { max: 1, backoff: 100ms }\n"));
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("[[ -d .genflow/state && -n $(find .genflow/state -name 'step-*.safetensors') ]]"));
  const auto pair = Pair(run.pid());
  ASSERT_EQ(pair.size(), 2u);
  ::kill(pair[0], SIGKILL);
  const auto ended = run.Wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(AdapterOf(box), Undisturbed().digest);
  const auto log = box.Genflow({"logs", "tune"});
  EXPECT_NE(log.out.find("continuing from the checkpoint of step "), std::string::npos) << log.out;
}

TEST(Processes, AskedToStopAllDo) {
  Sandbox box;
  Prepare(box, Pipeline(2));
  auto run = box.Start({"run"});
  ASSERT_TRUE(box.WaitFor("[[ -d .genflow/state && -n $(find .genflow/state -name 'step-*.safetensors') ]]"));
  const auto pair = Pair(run.pid());
  run.Signal(SIGTERM);
  const auto ended = run.Wait();
  EXPECT_EQ(ended.code, 75) << ended.err;
  for (const pid_t pid : pair) EXPECT_TRUE(box.WaitForEndOf(std::to_string(pid)));
  EXPECT_EQ(box.Genflow({"run"}).code, 0);
  EXPECT_EQ(AdapterOf(box), Undisturbed().digest);
}

TEST(Processes, TheFailureOfOneIsTheStages) {
  Sandbox box;
  Prepare(box, Pipeline(2));
  box.Write("chats.jsonl", R"({"messages": [{"role": "user", "content": "Anyone?"}]})"
                           "\n");
  const auto run = box.Genflow({"run"});
  EXPECT_EQ(run.code, 1);
  EXPECT_NE(run.err.find("error: tune: 1 of 1 examples have no assistant tokens"), std::string::npos)
      << run.err;
}

}  // namespace
}  // namespace genflow

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--count") genflow::g_count = std::atoi(argv[i + 1]);
    if (name == "--seed") genflow::g_seed = static_cast<unsigned>(std::atoi(argv[i + 1]));
  }
  return RUN_ALL_TESTS();
}
