#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace genflow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Graph Make(size_t size, const std::vector<std::pair<size_t, size_t>>& edges) {
  Graph graph(size);
  for (const auto& [from, to] : edges) graph.AddEdge(from, to);
  return graph;
}

TEST(Graph, CountsRepeatedEdgesOnceAndSortsThem) {
  const Graph graph = Make(4, {{0, 3}, {0, 1}, {0, 3}, {2, 3}});
  EXPECT_THAT(graph.Successors(0), ElementsAre(1, 3));
  EXPECT_THAT(graph.Predecessors(3), ElementsAre(0, 2));
  EXPECT_THAT(graph.Predecessors(0), IsEmpty());
}

TEST(Graph, AddsNodes) {
  Graph graph;
  EXPECT_EQ(graph.AddNode(), 0u);
  EXPECT_EQ(graph.AddNode(), 1u);
  graph.AddEdge(1, 0);
  EXPECT_THAT(graph.TopologicalOrder(), ElementsAre(1, 0));
}

TEST(Graph, OrdersByDependencyThenByNumber) {
  EXPECT_THAT(Make(5, {{4, 0}, {2, 1}}).TopologicalOrder(), ElementsAre(2, 1, 3, 4, 0));
  EXPECT_THAT(Make(3, {}).TopologicalOrder(), ElementsAre(0, 1, 2));
}

TEST(Graph, FindsNoCycleInADiamond) {
  EXPECT_THAT(Make(4, {{0, 1}, {0, 2}, {1, 3}, {2, 3}}).FindCycles(), IsEmpty());
}

TEST(Graph, FindsACycleAsAPathFromItsSmallestNode) {
  EXPECT_THAT(Make(5, {{0, 3}, {3, 2}, {2, 4}, {4, 3}}).FindCycles(), ElementsAre(ElementsAre(2, 4, 3, 2)));
}

TEST(Graph, FindsASelfLoop) { EXPECT_THAT(Make(2, {{1, 1}}).FindCycles(), ElementsAre(ElementsAre(1, 1))); }

TEST(Graph, FindsEveryCycleThatSharesNoNode) {
  const Graph graph = Make(7, {{0, 1}, {1, 0}, {2, 3}, {3, 4}, {4, 2}, {3, 2}, {1, 5}, {5, 6}});
  EXPECT_THAT(graph.FindCycles(), ElementsAre(ElementsAre(0, 1, 0), ElementsAre(2, 3, 2)));
}

TEST(Graph, WalksUpAndDown) {
  const Graph graph = Make(5, {{0, 1}, {1, 2}, {3, 2}, {2, 4}});
  EXPECT_THAT(graph.Ancestors({2}), ElementsAre(true, true, true, true, false));
  EXPECT_THAT(graph.Descendants({1, 3}), ElementsAre(false, true, true, true, true));
  EXPECT_THAT(graph.Descendants({}), ElementsAre(false, false, false, false, false));
}

TEST(Graph, HandlesALongChainWithoutRecursion) {
  const size_t n = 200'000;
  Graph graph(n);
  for (size_t i = 1; i < n; ++i) graph.AddEdge(i - 1, i);
  EXPECT_THAT(graph.FindCycles(), IsEmpty());
  EXPECT_EQ(graph.TopologicalOrder().back(), n - 1);
  graph.AddEdge(n - 1, 0);
  ASSERT_EQ(graph.FindCycles().size(), 1u);
  EXPECT_EQ(graph.FindCycles()[0].size(), n + 1);
}

}  // namespace
}  // namespace genflow
