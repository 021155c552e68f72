#include "graph/layout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace genflow {
namespace {

Graph Make(size_t nodes, std::initializer_list<std::pair<size_t, size_t>> edges) {
  Graph graph(nodes);
  for (const auto& [from, to] : edges) graph.AddEdge(from, to);
  return graph;
}

std::vector<size_t> LayersOf(const Layout& layout) {
  std::vector<size_t> out;
  for (const auto& node : layout.nodes) out.push_back(node.layer);
  return out;
}

TEST(Layout, NothingIsEmpty) {
  const Layout layout = LayOut(Graph(0), {});
  EXPECT_EQ(layout.layers, 0u);
  EXPECT_TRUE(layout.nodes.empty());
}

TEST(Layout, AChainIsStraight) {
  const Layout layout = LayOut(Make(3, {{0, 1}, {1, 2}}), {40, 80, 60});
  EXPECT_EQ(LayersOf(layout), (std::vector<size_t>{0, 1, 2}));
  EXPECT_EQ(layout.layers, 3u);
  EXPECT_EQ(layout.width, 80);
  for (const auto& node : layout.nodes) EXPECT_EQ(node.x, 40);
}

TEST(Layout, LayersFollowLongestPathsAndSourcesStandNearTheirReaders) {
  // 0 -> 1 -> 2 -> 3, and 4 -> 3: 4 stands right above 3.
  const Layout layout = LayOut(Make(5, {{0, 1}, {1, 2}, {2, 3}, {4, 3}}), {10, 10, 10, 10, 10});
  EXPECT_EQ(LayersOf(layout), (std::vector<size_t>{0, 1, 2, 3, 2}));
}

TEST(Layout, LongEdgesBendInEachLayerBetween) {
  const Layout layout = LayOut(Make(4, {{0, 1}, {1, 2}, {2, 3}, {0, 3}}), {10, 10, 10, 10});
  ASSERT_EQ(layout.edges.size(), 4u);
  EXPECT_EQ(layout.edges[1].to, 3u);
  ASSERT_EQ(layout.edges[1].bends.size(), 2u);
  EXPECT_EQ(layout.edges[1].bends[0].layer, 1u);
  EXPECT_EQ(layout.edges[1].bends[1].layer, 2u);
  EXPECT_EQ(layout.edges[1].bends[0].x, layout.edges[1].bends[1].x) << "a passing edge is straight";
  EXPECT_TRUE(layout.edges[0].bends.empty());
}

TEST(Layout, EdgesThatNeedNotCrossDoNot) {
  // Two pairs, written crosswise: 0 -> 3 and 1 -> 2.
  const Layout layout = LayOut(Make(4, {{0, 3}, {1, 2}}), {10, 10, 10, 10});
  EXPECT_EQ(layout.nodes[0].x < layout.nodes[1].x, layout.nodes[3].x < layout.nodes[2].x);
}

TEST(Layout, BoxesKeepTheirDistanceAndPlacesAreWholeNumbers) {
  Graph graph(60);
  std::vector<double> widths;
  for (size_t to = 0; to < 60; ++to) {
    widths.push_back(20 + static_cast<double>(to * 37 % 91));
    for (size_t from = 0; from < to; ++from) {
      if ((from * 5 + to * 17) % 23 == 0) graph.AddEdge(from, to);
    }
  }
  const LayoutOptions options;
  const Layout layout = LayOut(graph, widths, options);
  std::map<size_t, std::map<double, double>> by_layer;  // layer -> middle -> width
  for (size_t node = 0; node < 60; ++node) {
    const auto& at = layout.nodes[node];
    EXPECT_EQ(at.x, std::round(at.x));
    EXPECT_GE(at.x - widths[node] / 2, 0);
    EXPECT_LE(at.x + widths[node] / 2, layout.width);
    EXPECT_TRUE(by_layer[at.layer].emplace(at.x, widths[node]).second) << "two boxes in one place";
    for (const size_t before : graph.Predecessors(node)) EXPECT_LT(layout.nodes[before].layer, at.layer);
  }
  for (const auto& [layer, boxes] : by_layer) {
    for (auto box = boxes.begin(); std::next(box) != boxes.end(); ++box) {
      const auto next = std::next(box);
      EXPECT_GE(next->first - next->second / 2 - (box->first + box->second / 2), options.gap) << layer;
    }
  }
  const Layout again = LayOut(graph, widths, options);
  EXPECT_EQ(layout.nodes, again.nodes) << "the same drawing each time";
}

}  // namespace
}  // namespace genflow
