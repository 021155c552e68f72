#include "graph/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace genflow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct ScheduleTest : ::testing::Test {
  void Edges(size_t size, const std::vector<std::pair<size_t, size_t>>& edges) {
    graph = Graph(size);
    for (const auto& [from, to] : edges) graph.AddEdge(from, to);
    estimates.assign(size, {});
    demands.assign(size, {});
  }
  Schedule Make(ScheduleOptions options = {}) {
    return Schedule(graph, MakePlan(graph, graph, {}, estimates), demands, pools, options);
  }
  Graph graph;
  std::vector<NodeEstimate> estimates;
  std::vector<Demand> demands;
  Pools pools{.cpus = 4, .gpus = {}, .memory = 1000};
};

TEST_F(ScheduleTest, RunsAChain) {
  Edges(3, {{0, 1}, {1, 2}});
  Schedule s = Make();
  EXPECT_THAT(s.Ready(), ElementsAre(0));
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_EQ(s.state(0), NodeState::kRunning);
  EXPECT_THAT(s.Ready(), IsEmpty());
  EXPECT_THAT(s.Finish(0, Finished::kSucceeded), IsEmpty());
  EXPECT_THAT(s.Ready(), ElementsAre(1));
  s.Finish(1, Finished::kCached);
  ASSERT_TRUE(s.TryStart(2));
  EXPECT_FALSE(s.done());
  s.Finish(2, Finished::kSucceeded);
  EXPECT_TRUE(s.done());
  EXPECT_EQ(s.state(1), NodeState::kCached);
  EXPECT_EQ(s.free().cpus, 4);
}

TEST_F(ScheduleTest, OffersTheLongestChainFirstThenFileOrder) {
  Edges(5, {{2, 4}});
  estimates[4].seconds = 100;
  EXPECT_THAT(Make().Ready(), ElementsAre(2, 0, 1, 3));
}

TEST_F(ScheduleTest, StartsWhatFits) {
  Edges(3, {});
  demands[0] = {.cpus_min = 3, .cpus_max = 3};
  demands[1] = {.cpus_min = 2, .cpus_max = 8};
  demands[2] = {.cpus_min = 1, .cpus_max = 8, .memory = 1001};
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_FALSE(s.TryStart(1));
  EXPECT_FALSE(s.TryStart(2));
  EXPECT_EQ(s.state(1), NodeState::kReady);
  s.Finish(0, Finished::kSucceeded);
  const auto grant = s.TryStart(1);
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->cpus, 4);
}

TEST_F(ScheduleTest, AShareLimitsCpusButNeverBelowTheMinimum) {
  Edges(3, {});
  demands[0] = {.cpus_min = 1, .cpus_max = 8};
  demands[1] = {.cpus_min = 2, .cpus_max = 8};
  demands[2] = {.cpus_min = 1, .cpus_max = 1};
  Schedule s = Make();
  EXPECT_EQ(s.TryStart(0, 1)->cpus, 1);
  EXPECT_EQ(s.TryStart(1, 1)->cpus, 2);
  EXPECT_EQ(s.TryStart(2, 3)->cpus, 1);
  EXPECT_EQ(s.free().cpus, 0);
}

TEST_F(ScheduleTest, AVacatedNodeGoesOnWithoutItsResources) {
  Edges(3, {{0, 2}});
  for (auto& demand : demands) demand = {.cpus_min = 4, .cpus_max = 4};
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_FALSE(s.TryStart(1));
  s.Vacate(0);
  EXPECT_EQ(s.state(0), NodeState::kRunning);
  EXPECT_EQ(s.running(), 0u);
  ASSERT_TRUE(s.TryStart(1));
  EXPECT_FALSE(s.done());
  s.Finish(0, Finished::kSucceeded);
  EXPECT_EQ(s.free().cpus, 0) << "given back once";
  EXPECT_EQ(s.running(), 1u);
  EXPECT_THAT(s.Ready(), ElementsAre(2));
}

TEST_F(ScheduleTest, MemoryIsShared) {
  Edges(2, {});
  demands[0].memory = 600;
  demands[1].memory = 600;
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_FALSE(s.TryStart(1));
  s.Finish(0, Finished::kSucceeded);
  EXPECT_EQ(s.TryStart(1)->memory, 600u);
}

TEST_F(ScheduleTest, GivesEachNodeItsOwnGpus) {
  Edges(3, {});
  pools.gpus = {0, 1, 2};
  for (auto& demand : demands) demand.gpus_max = 2;
  demands[2].gpus_min = 2;
  Schedule s = Make();
  EXPECT_THAT(s.TryStart(0)->gpus, ElementsAre(0, 1));
  EXPECT_THAT(s.TryStart(1)->gpus, ElementsAre(2));
  EXPECT_FALSE(s.TryStart(2));
  s.Finish(0, Finished::kSucceeded);
  EXPECT_THAT(s.TryStart(2)->gpus, ElementsAre(0, 1));
}

TEST_F(ScheduleTest, GivesAGpuThatIsNamedAndNoOther) {
  Edges(3, {});
  pools.gpus = {4, 5, 7};
  for (auto& demand : demands) demand.gpus_max = 1;
  demands[0].gpu = demands[1].gpu = 1;
  Schedule s = Make();
  EXPECT_THAT(s.TryStart(0)->gpus, ElementsAre(5));
  EXPECT_FALSE(s.TryStart(1));
  EXPECT_THAT(s.TryStart(2)->gpus, ElementsAre(4));
  EXPECT_THAT(s.free().gpus, ElementsAre(7));
  s.Finish(0, Finished::kSucceeded);
  EXPECT_THAT(s.free().gpus, ElementsAre(5, 7));
  EXPECT_THAT(s.TryStart(1)->gpus, ElementsAre(5));
  EXPECT_EQ(WhyUnfit({.gpus_max = 1, .gpu = 3}, pools), "needs GPU 3, but the pool has 3 GPUs, from 0 up");
  EXPECT_EQ(WhyUnfit({.gpus_max = 1, .gpu = 2}, pools), std::nullopt);
}

TEST_F(ScheduleTest, WaitsForAGpuWhereThereIsOneAndGoesWithoutWhereThereIsNone) {
  Edges(2, {});
  for (auto& demand : demands) demand.gpus_max = 1;
  pools.gpus = {7};
  Schedule with = Make();
  ASSERT_TRUE(with.TryStart(0));
  EXPECT_FALSE(with.TryStart(1));
  pools.gpus.clear();
  Schedule without = Make();
  EXPECT_THAT(without.TryStart(0)->gpus, IsEmpty());
  EXPECT_TRUE(without.TryStart(1));
}

TEST_F(ScheduleTest, LimitsHowManyRun) {
  Edges(3, {});
  Schedule s = Make({.max_running = 2});
  EXPECT_TRUE(s.TryStart(0));
  EXPECT_TRUE(s.TryStart(1));
  EXPECT_FALSE(s.TryStart(2));
  EXPECT_EQ(s.running(), 2u);
}

TEST_F(ScheduleTest, AFailureStopsTheRun) {
  // 0 -> 1 -> 2;  3;  4 -> 5
  Edges(6, {{0, 1}, {1, 2}, {4, 5}});
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  ASSERT_TRUE(s.TryStart(4));
  EXPECT_THAT(s.Finish(0, Finished::kFailed), ElementsAre(1, 2, 3, 5));
  EXPECT_EQ(s.state(0), NodeState::kFailed);
  EXPECT_EQ(s.state(1), NodeState::kSkipped);
  EXPECT_EQ(s.state(2), NodeState::kSkipped);
  EXPECT_EQ(s.cause(2), 0u);
  EXPECT_EQ(s.state(3), NodeState::kCancelled);
  EXPECT_EQ(s.cause(3), 0u);
  EXPECT_THAT(s.Ready(), IsEmpty());
  EXPECT_FALSE(s.done());
  EXPECT_THAT(s.Finish(4, Finished::kSucceeded), IsEmpty());
  EXPECT_TRUE(s.done());
}

TEST_F(ScheduleTest, KeepGoingRunsWhatDoesNotDependOnAFailure) {
  Edges(5, {{0, 1}, {1, 2}, {3, 4}, {3, 2}});
  Schedule s = Make({.keep_going = true});
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_THAT(s.Finish(0, Finished::kFailed), ElementsAre(1, 2));
  EXPECT_THAT(s.Ready(), ElementsAre(3));
  ASSERT_TRUE(s.TryStart(3));
  s.Finish(3, Finished::kSucceeded);
  EXPECT_THAT(s.Ready(), ElementsAre(4));
  EXPECT_EQ(s.state(2), NodeState::kSkipped);
}

TEST_F(ScheduleTest, AGateSkipsItsDependents) {
  Edges(2, {{0, 1}});
  Schedule s = Make({.keep_going = true});
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_THAT(s.Finish(0, Finished::kGateFailed), ElementsAre(1));
  EXPECT_EQ(s.state(0), NodeState::kGateFailed);
  EXPECT_EQ(s.cause(1), 0u);
  EXPECT_TRUE(s.done());
}

TEST_F(ScheduleTest, AnInterruptionStopsTheRunAlsoWithKeepGoing) {
  Edges(3, {{0, 1}});
  Schedule s = Make({.keep_going = true});
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_THAT(s.Finish(0, Finished::kInterrupted), ElementsAre(1, 2));
  EXPECT_EQ(s.state(0), NodeState::kInterrupted);
  EXPECT_EQ(s.state(2), NodeState::kCancelled);
}

TEST_F(ScheduleTest, StopCancelsWhatHasNotStarted) {
  Edges(3, {{0, 1}});
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  EXPECT_THAT(s.Stop(), ElementsAre(1, 2));
  EXPECT_EQ(s.cause(1), std::nullopt);
  EXPECT_THAT(s.Stop(), IsEmpty());
  EXPECT_THAT(s.Finish(0, Finished::kSucceeded), IsEmpty());
  EXPECT_TRUE(s.done());
  EXPECT_EQ(s.state(1), NodeState::kCancelled);
}

TEST_F(ScheduleTest, ARetryGivesResourcesBackUntilItIsReleased) {
  Edges(2, {});
  pools.cpus = 1;
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  s.Retry(0);
  EXPECT_EQ(s.state(0), NodeState::kWaiting);
  EXPECT_THAT(s.Ready(), ElementsAre(1));
  ASSERT_TRUE(s.TryStart(1));
  s.Finish(1, Finished::kSucceeded);
  EXPECT_FALSE(s.done());
  s.Release(0);
  EXPECT_THAT(s.Ready(), ElementsAre(0));
  ASSERT_TRUE(s.TryStart(0));
  s.Finish(0, Finished::kSucceeded);
  EXPECT_TRUE(s.done());
}

TEST_F(ScheduleTest, AWaitingRetryIsCancelledByAStop) {
  Edges(2, {});
  Schedule s = Make();
  ASSERT_TRUE(s.TryStart(0));
  ASSERT_TRUE(s.TryStart(1));
  s.Retry(0);
  EXPECT_THAT(s.Stop(), ElementsAre(0));
  s.Release(0);
  EXPECT_EQ(s.state(0), NodeState::kCancelled);
  s.Retry(1);
  EXPECT_EQ(s.state(1), NodeState::kCancelled);
  EXPECT_TRUE(s.done());
}

TEST_F(ScheduleTest, DisabledNodesAndTheirDependentsAreSkippedAtOnce) {
  Edges(4, {{0, 1}, {1, 2}});
  estimates[1].enabled = false;
  Schedule s = Make();
  EXPECT_THAT(s.initially_skipped(), ElementsAre(1, 2));
  EXPECT_EQ(s.cause(2), 1u);
  EXPECT_THAT(s.Ready(), ElementsAre(0, 3));
}

TEST_F(ScheduleTest, LeavesIgnoredNodesOut) {
  Edges(3, {{0, 1}, {1, 2}});
  const Plan plan = MakePlan(graph, Graph(3), {.from = {1}, .until = {1}}, estimates);
  Schedule s(graph, plan, demands, pools);
  EXPECT_EQ(s.state(0), NodeState::kIgnored);
  EXPECT_THAT(s.Ready(), ElementsAre(1));
  s.Finish(1, Finished::kCached);
  EXPECT_TRUE(s.done());
}

TEST_F(ScheduleTest, AnEmptyPlanIsDone) {
  Edges(0, {});
  EXPECT_TRUE(Make().done());
}

TEST_F(ScheduleTest, SaysWhatCanNeverFit) {
  EXPECT_EQ(WhyUnfit({.cpus_min = 4, .cpus_max = 9, .memory = 1000}, pools), std::nullopt);
  EXPECT_EQ(WhyUnfit({.cpus_min = 5}, pools), "needs 5 CPUs, but the pool has 4");
  EXPECT_EQ(WhyUnfit({.gpus_min = 1, .gpus_max = 1}, pools), "needs 1 GPU, but the pool has 0");
  EXPECT_EQ(WhyUnfit({.memory = 2048}, pools), "needs 2.0 KiB of memory, but the pool has 1000 B");
}

TEST_F(ScheduleTest, DrivesTenThousandNodes) {
  const size_t n = 10'000;
  std::vector<std::pair<size_t, size_t>> edges;
  for (size_t i = 100; i < n; ++i) edges.emplace_back(i - 100, i);
  Edges(n, edges);
  pools.cpus = 64;
  Schedule s = Make();
  size_t started = 0;
  while (!s.done()) {
    std::vector<size_t> running;
    for (size_t node : s.Ready()) {
      if (!s.TryStart(node)) break;
      running.push_back(node);
    }
    ASSERT_FALSE(running.empty());
    started += running.size();
    for (size_t node : running) s.Finish(node, Finished::kSucceeded);
  }
  EXPECT_EQ(started, n);
  EXPECT_EQ(s.free().cpus, 64);
}

}  // namespace
}  // namespace genflow
