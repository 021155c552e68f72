// kill -9 of the engine, of a worker, or of every process at random instants of a run; the next run finishes
// it.
//   kill_storm [--count N] [--seed S]
// Without a count: 20 kills, or as many as 30 seconds take.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "faults/asked.h"
#include "faults/storm.h"
#include "testing/processes.h"

namespace genflow {
namespace {

constexpr double kPatience = 30;  // seconds

void AddDescendants(pid_t pid, std::vector<pid_t>* all) {
  for (const pid_t child : ChildrenOf(pid)) {
    all->push_back(child);
    AddDescendants(child, all);
  }
}

enum class Target { kEngine, kWorker, kAll };

// What was killed; nothing where it had ended before.
class Killer {
 public:
  explicit Killer(unsigned seed) : random_(seed) {}

  double Uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }

  const char* Kill(pid_t engine) {
    const auto target = static_cast<Target>(std::uniform_int_distribution<int>(0, 2)(random_));
    if (target == Target::kEngine) {
      ::kill(engine, SIGKILL);
      return "engine";
    }
    std::vector<pid_t> pids;
    if (target == Target::kAll) {
      AddDescendants(engine, &pids);
      ::kill(engine, SIGKILL);
      for (const pid_t pid : pids) ::kill(pid, SIGKILL);
      return "all";
    }
    pids = WorkersOf(engine);
    if (pids.empty()) return "no worker";
    ::kill(pids[std::uniform_int_distribution<size_t>(0, pids.size() - 1)(random_)], SIGKILL);
    return "worker";
  }

 private:
  std::mt19937 random_;
};

struct Undisturbed {
  double seconds = 0;
  Digests digests;
};

Undisturbed RunUndisturbed() {
  Sandbox box;
  WriteStorm(box);
  Undisturbed result;
  const double began = Seconds();
  const auto run = box.Genflow({"run"});
  result.seconds = Seconds() - began;
  EXPECT_EQ(run.code, 0) << run.err;
  const auto state = LatestRun(box);
  EXPECT_TRUE(state.has_value());
  if (!state) return result;
  EXPECT_EQ(state->done.size(), StormStages());
  result.digests = state->digests;
  return result;
}

TEST(KillStorm, TheNextRunEndsInTheBytesOfAnUndisturbedOne) {
  const int times = WasAsked().count.value_or(20);
  const unsigned seed = WasAsked().seed;
  const double patience = WasAsked().count ? 1e9 : kPatience;
  if (!HasTraining()) std::printf("this build has no training: the pipeline has nine stages, not twelve\n");
  const Undisturbed calm = RunUndisturbed();
  ASSERT_FALSE(calm.digests.empty());
  const double began = Seconds();
  std::map<std::string, int> killed;
  std::map<std::string, int> found;  // status of the killed runs
  int rounds = 0, kills = 0, most_runs = 0;
  size_t kept = 0;
  while (kills < times && (rounds == 0 || Seconds() - began < patience)) {
    SCOPED_TRACE("round " + std::to_string(rounds) + " of seed " + std::to_string(seed));
    Killer killer(seed * 100'003u + static_cast<unsigned>(rounds++));
    Sandbox box;
    WriteStorm(box);
    std::set<std::string> committed;
    std::string seen;  // the run looked at last
    // Each round ends with a run that nobody disturbs; every third round kills twice before it.
    const int planned = rounds % 3 == 0 ? 2 : 1;
    int runs = 0;
    for (int strike = 0; strike < planned && kills < times; ++strike, ++kills) {
      auto run = box.Start({"run"});
      ++runs;
      ::usleep(static_cast<useconds_t>(killer.Uniform(0, calm.seconds) * 1e6));
      const std::string target = killer.Kill(run.pid());
      ++killed[target];
      const auto ended = run.Wait();
      if (target == "engine" || target == "all")
        EXPECT_TRUE(ended.code == 137 || ended.code == 0) << ended.code << "\n" << ended.err;
      else
        EXPECT_TRUE(ended.code == 0 || ended.code == 1) << ended.code << "\n" << ended.err;
      auto state = LatestRun(box);
      if (state && state->id == seen) state.reset();  // killed before it was one: that is the run before it
      ++found[state ? state->status : "no run"];
      if (!state) continue;
      seen = state->id;
      EXPECT_NE(state->status, "running");
      // What was reported as done by an earlier run is done for this one, too.
      for (const std::string& stage : state->ran) {
        EXPECT_EQ(committed.count(stage), 0u) << stage << " was committed and ran again";
        committed.insert(stage);
      }
      for (const auto& [port, digest] : state->digests) EXPECT_EQ(digest, calm.digests.at(port)) << port;
      EXPECT_EQ(FsckProblems(box), "");
    }
    kept += committed.size();
    CommandResult last;
    for (int tries = 0; tries < 3; ++tries) {
      last = box.Genflow({"run"});
      ++runs;
      if (last.code == 0) break;
    }
    most_runs = std::max(most_runs, runs);
    ASSERT_EQ(last.code, 0) << last.err;
    const auto state = LatestRun(box);
    ASSERT_TRUE(state.has_value());
    EXPECT_EQ(state->status, "ok");
    EXPECT_EQ(state->done.size(), StormStages());
    EXPECT_EQ(state->digests, calm.digests);
    for (const std::string& stage : committed)
      EXPECT_EQ(state->ran.count(stage), 0u) << stage << " was committed and ran again";
    EXPECT_EQ(FsckProblems(box), "");
    const auto again = box.Genflow({"run"});
    EXPECT_EQ(box.Normal(again.out),
              "storm: nothing to do (" + std::to_string(StormStages()) + " stages cached, TIME)\n");
    if (testing::Test::HasFailure()) break;
  }
  std::printf(
      "kill storm, seed %u: %d kills in %d rounds of %zu stages, %zu committed stages kept, %d runs at "
      "most\n",
      seed, kills, rounds, StormStages(), kept, most_runs);
  for (const auto& [target, count] : killed) std::printf("  killed %s: %d\n", target.c_str(), count);
  for (const auto& [status, count] : found) std::printf("  left a run %s: %d\n", status.c_str(), count);
}

}  // namespace
}  // namespace genflow
