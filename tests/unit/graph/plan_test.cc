#include "graph/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace genflow {
namespace {

using ::testing::ElementsAre;
using enum Role;

// 0 pages -> 1 clean -> 2 tune -> 4 eval -> 5 gate;  3 base -> 2, 4;  0 -> 5 by order alone
struct PlanTest : ::testing::Test {
  PlanTest() : graph(6), artifacts(6), estimates(6) {
    for (const auto& [from, to] :
         std::vector<std::pair<size_t, size_t>>{{0, 1}, {1, 2}, {3, 2}, {2, 4}, {3, 4}, {4, 5}}) {
      graph.AddEdge(from, to);
      artifacts.AddEdge(from, to);
    }
    graph.AddEdge(0, 5);
  }
  Graph graph, artifacts;
  std::vector<NodeEstimate> estimates;
};

TEST_F(PlanTest, ConsidersEverythingByDefault) {
  const Plan plan = MakePlan(graph, artifacts, {}, estimates);
  EXPECT_THAT(plan.roles, ElementsAre(kConsider, kConsider, kConsider, kConsider, kConsider, kConsider));
  EXPECT_THAT(plan.order, ElementsAre(0, 1, 3, 2, 4, 5));
}

TEST_F(PlanTest, PrioritiesAreTheLongestChainBehind) {
  estimates[2].seconds = 300;
  estimates[3].seconds = 10;
  estimates[5].seconds = -1;  // no such duration: counts as nothing
  const Plan plan = MakePlan(graph, artifacts, {}, estimates);
  EXPECT_THAT(plan.priorities, ElementsAre(303, 302, 301, 311, 1, 0));
}

TEST_F(PlanTest, UntilTakesWhatAStageDependsOn) {
  const Plan plan = MakePlan(graph, artifacts, {.until = {2}}, estimates);
  EXPECT_THAT(plan.roles, ElementsAre(kConsider, kConsider, kConsider, kConsider, kIgnored, kIgnored));
  EXPECT_THAT(plan.order, ElementsAre(0, 1, 3, 2));
  EXPECT_THAT(plan.priorities, ElementsAre(3, 2, 1, 2, 0, 0));
}

TEST_F(PlanTest, FromReusesTheArtifactsBeforeIt) {
  const Plan plan = MakePlan(graph, artifacts, {.from = {4}}, estimates);
  EXPECT_THAT(plan.roles, ElementsAre(kReuse, kReuse, kReuse, kReuse, kConsider, kConsider));
}

TEST_F(PlanTest, FromDoesNotNeedWhatComesBeforeByOrderAlone) {
  Graph order(2), nothing(2);
  order.AddEdge(0, 1);
  EXPECT_THAT(MakePlan(order, nothing, {.from = {1}}, {2, NodeEstimate{}}).roles,
              ElementsAre(kIgnored, kConsider));
}

TEST_F(PlanTest, FromAndUntilTakeWhatLiesBetween) {
  const Plan plan = MakePlan(graph, artifacts, {.from = {1}, .until = {2}}, estimates);
  EXPECT_THAT(plan.roles, ElementsAre(kReuse, kConsider, kConsider, kReuse, kIgnored, kIgnored));
}

TEST_F(PlanTest, FromAfterUntilSelectsNothing) {
  const Plan plan = MakePlan(graph, artifacts, {.from = {4}, .until = {1}}, estimates);
  EXPECT_TRUE(plan.order.empty());
}

TEST_F(PlanTest, ForcesOnlyWhatIsSelected) {
  const Plan plan = MakePlan(graph, artifacts, {.from = {4}, .force = {5, 0}}, estimates);
  EXPECT_THAT(plan.roles, ElementsAre(kReuse, kReuse, kReuse, kReuse, kConsider, kForce));
  const Plan all = MakePlan(graph, artifacts, {.until = {1}, .force_all = true}, estimates);
  EXPECT_THAT(all.roles, ElementsAre(kForce, kForce, kIgnored, kIgnored, kIgnored, kIgnored));
}

TEST_F(PlanTest, DisabledStagesStayInThePlan) {
  estimates[2].enabled = false;
  const Plan plan = MakePlan(graph, artifacts, {.force_all = true}, estimates);
  EXPECT_EQ(plan.roles[2], kDisabled);
  EXPECT_EQ(plan.roles[4], kForce);
}

}  // namespace
}  // namespace genflow
