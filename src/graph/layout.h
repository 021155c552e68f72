// Where the nodes of a graph stand when it is drawn in layers, from top to bottom. Pure and deterministic.
//
// After K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures"
// (IEEE Trans. SMC 11, 1981): layers by longest paths, long edges cut into one piece a layer, order within
// layers by barycentres, places by least squares under the order.
#pragma once

#include <cstddef>
#include <vector>

#include "graph/graph.h"

namespace genflow {

struct LayoutPoint {
  double x = 0;      // of the middle; the leftmost box begins at 0
  size_t layer = 0;  // from the top
  bool operator==(const LayoutPoint&) const = default;
};

struct LayoutEdge {
  size_t from = 0, to = 0;
  std::vector<LayoutPoint> bends;  // one in each layer between them
};

struct Layout {
  std::vector<LayoutPoint> nodes;  // by node
  std::vector<LayoutEdge> edges;   // by (from, to)
  size_t layers = 0;
  double width = 0;
};

struct LayoutOptions {
  double gap = 24;         // between neighbours in a layer
  double edge_width = 12;  // what a passing edge takes
};

// `widths` has one entry a node. The graph has no cycle. Coordinates are whole numbers.
Layout LayOut(const Graph& graph, const std::vector<double>& widths, const LayoutOptions& options = {});

}  // namespace genflow
