// Nodes that outlive failures and stops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/schedule.h"

namespace genflow {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// 0 -> 1 -> 2, 0 -> 3 -> 4; 3 is tolerant; 5 stands alone.
class Tolerant : public testing::Test {
 protected:
  Tolerant() : graph(6) {
    graph.AddEdge(0, 1);
    graph.AddEdge(1, 2);
    graph.AddEdge(0, 3);
    graph.AddEdge(1, 3);
    graph.AddEdge(3, 4);
  }
  Schedule Make(bool keep_going = false, std::vector<bool> enabled = std::vector<bool>(6, true)) {
    std::vector<NodeEstimate> estimates(6);
    for (size_t i = 0; i < 6; ++i) estimates[i].enabled = enabled[i];
    plan = MakePlan(graph, graph, {}, estimates);
    ScheduleOptions options;
    options.keep_going = keep_going;
    options.tolerant = {false, false, false, true, false, false};
    Pools pools;
    pools.cpus = 1;
    return {graph, plan, std::vector<Demand>(6), pools, options};
  }
  Graph graph;
  Plan plan;
};

TEST_F(Tolerant, IsReadyAfterAFailureAlthoughTheRunStops) {
  Schedule schedule = Make();
  ASSERT_TRUE(schedule.TryStart(0));
  EXPECT_THAT(schedule.Finish(0, Finished::kFailed), ElementsAre(1, 2, 4, 5));
  EXPECT_EQ(schedule.state(4), NodeState::kCancelled);
  EXPECT_THAT(schedule.Ready(), ElementsAre(3));
  EXPECT_FALSE(schedule.done());
  ASSERT_TRUE(schedule.TryStart(3));
  EXPECT_THAT(schedule.Finish(3, Finished::kSucceeded), IsEmpty());
  EXPECT_TRUE(schedule.done());
}

TEST_F(Tolerant, WaitsForAllItDependsOn) {
  Schedule schedule = Make(true);
  ASSERT_TRUE(schedule.TryStart(0));
  schedule.Finish(0, Finished::kSucceeded);
  EXPECT_THAT(schedule.Ready(), ElementsAre(1, 5));
  ASSERT_TRUE(schedule.TryStart(1));
  EXPECT_THAT(schedule.Finish(1, Finished::kFailed), ElementsAre(2));
  EXPECT_THAT(schedule.Ready(), ElementsAre(3, 5));
  EXPECT_EQ(schedule.state(4), NodeState::kWaiting);
}

TEST_F(Tolerant, SkippedItSkipsItsDependents) {
  Schedule schedule = Make(true);
  ASSERT_TRUE(schedule.TryStart(0));
  schedule.Finish(0, Finished::kFailed);
  EXPECT_THAT(schedule.Skip(3), ElementsAre(4));
  EXPECT_EQ(schedule.state(3), NodeState::kSkipped);
  EXPECT_EQ(schedule.cause(3), 3u);
  EXPECT_EQ(schedule.cause(4), 3u);
}

TEST_F(Tolerant, ADisabledNodeBeforeItIsAnEnd) {
  Schedule schedule = Make(true, {false, true, true, true, true, true});
  EXPECT_THAT(schedule.initially_skipped(), ElementsAre(0, 1, 2));
  EXPECT_THAT(schedule.Ready(), ElementsAre(3, 5));
}

TEST_F(Tolerant, OutlivesOneStopAndNotTheSecond) {
  Schedule schedule = Make();
  ASSERT_TRUE(schedule.TryStart(0));
  EXPECT_THAT(schedule.Stop(), ElementsAre(1, 2, 4, 5));
  EXPECT_TRUE(schedule.stopped(1));
  EXPECT_FALSE(schedule.stopped(3));
  schedule.Finish(0, Finished::kInterrupted);
  EXPECT_THAT(schedule.Ready(), ElementsAre(3));
  EXPECT_THAT(schedule.Stop(true), ElementsAre(3));
  EXPECT_TRUE(schedule.done());
}

TEST_F(Tolerant, IsTriedAgainAfterAStop) {
  Schedule schedule = Make();
  ASSERT_TRUE(schedule.TryStart(0));
  schedule.Finish(0, Finished::kFailed);
  ASSERT_TRUE(schedule.TryStart(3));
  schedule.Retry(3);
  EXPECT_EQ(schedule.state(3), NodeState::kWaiting);
  schedule.Release(3);
  EXPECT_THAT(schedule.Ready(), ElementsAre(3));
}

}  // namespace
}  // namespace genflow
