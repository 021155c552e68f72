#include "graph/lanes.h"

#include <gtest/gtest.h>

#include <string>

namespace genflow {
namespace {

Graph Make(size_t nodes, std::initializer_list<std::pair<size_t, size_t>> edges) {
  Graph graph(nodes);
  for (const auto& [from, to] : edges) graph.AddEdge(from, to);
  return graph;
}

// Nodes by their numbers, '#' where a line passes below a lane.
std::string Drawn(const Graph& graph) {
  std::string out;
  for (const auto& row : DrawLanes(graph, graph.TopologicalOrder())) {
    for (size_t lane = 0; lane < row.cells.size(); ++lane) {
      const auto& cell = row.cells[lane];
      const bool node = row.node && row.lane == lane;
      out += node                                                ? std::to_string(*row.node)
             : cell.crossing                                     ? "#"
             : cell.sides == 0                                   ? " "
             : cell.sides == (kLaneUp | kLaneDown)               ? "|"
             : cell.sides == (kLaneLeft | kLaneRight)            ? "-"
             : (cell.sides & (kLaneUp | kLaneDown)) == kLaneUp   ? "^"
             : (cell.sides & (kLaneUp | kLaneDown)) == kLaneDown ? "v"
                                                                 : "+";
      out += (cell.sides & kLaneRight) != 0 ? "-" : " ";
    }
    while (out.ends_with(' ')) out.pop_back();
    out += "\n";
  }
  return out;
}

TEST(Lanes, AChainIsOneLane) { EXPECT_EQ(Drawn(Make(3, {{0, 1}, {1, 2}})), "0\n1\n2\n"); }

TEST(Lanes, NodesWithoutEdgesStandAlone) { EXPECT_EQ(Drawn(Make(2, {})), "0\n1\n"); }

TEST(Lanes, ForkAndJoin) {
  EXPECT_EQ(Drawn(Make(4, {{0, 1}, {0, 2}, {1, 3}, {2, 3}})),
            "0\n"
            "+-v\n"
            "| 1\n"
            "2 |\n"
            "+-^\n"
            "3\n");
}

TEST(Lanes, ALinePassesBelowTheLanesBetween) {
  // 0 and 1 lead on; 3 reads 0 and 2, whose lanes have that of 1 between them.
  EXPECT_EQ(Drawn(Make(5, {{0, 3}, {1, 4}, {2, 3}})),
            "0\n"
            "| 1\n"
            "| | 2\n"
            "+-#-^\n"
            "3 |\n"
            "  4\n");
}

TEST(Lanes, EveryNodeStandsOnceAndEveryEdgeLeadsThere) {
  Graph graph(40);
  for (size_t to = 1; to < 40; ++to) {
    for (size_t from = 0; from < to; ++from) {
      if ((from * 7 + to * 13) % 11 == 0) graph.AddEdge(from, to);
    }
  }
  const auto rows = DrawLanes(graph, graph.TopologicalOrder());
  std::vector<int> seen(40, 0);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t lane = 0; lane < rows[i].cells.size(); ++lane) {
      const auto sides = rows[i].cells[lane].sides;
      const bool right = lane + 1 < rows[i].cells.size() && (rows[i].cells[lane + 1].sides & kLaneLeft) != 0;
      EXPECT_EQ((sides & kLaneRight) != 0, right) << "row " << i << ", lane " << lane;
    }
    if (rows[i].node) ++seen[*rows[i].node];
  }
  EXPECT_EQ(seen, std::vector<int>(40, 1));
}

}  // namespace
}  // namespace genflow
