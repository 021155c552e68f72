// A graph as lines of text: one node a line, edges in lanes beside them. Pure.
//
//   *      pages        A lane belongs to one node and leads to every node that depends on it; it ends at the
//   +-+    train        last of them.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace genflow {

// The sides of a cell that lines lead to.
enum LaneSide : unsigned { kLaneUp = 1, kLaneDown = 2, kLaneLeft = 4, kLaneRight = 8 };

struct LaneRow {
  struct Cell {
    unsigned sides = 0;     // of LaneSide
    bool crossing = false;  // a line from left to right passes below the lane, without touching it
    bool operator==(const Cell&) const = default;
  };
  std::vector<Cell> cells;     // by lane; a cell with kLaneRight is joined to the next one
  std::optional<size_t> node;  // that stands in this row; otherwise the row leads to the next node
  size_t lane = 0;             // of the node
};

// `order` holds every node once, after its predecessors (Graph::TopologicalOrder).
std::vector<LaneRow> DrawLanes(const Graph& graph, const std::vector<size_t>& order);

}  // namespace genflow
