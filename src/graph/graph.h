// A directed graph of nodes 0..n-1. An edge goes from what comes first to what depends on it.
#pragma once

#include <cstddef>
#include <vector>

namespace genflow {

class Graph {
 public:
  explicit Graph(size_t size = 0) : successors_(size), predecessors_(size) {}

  size_t size() const { return successors_.size(); }
  size_t AddNode();
  // Repeated edges count once. A node may point to itself: that is a cycle.
  void AddEdge(size_t from, size_t to);

  // In ascending order, without repeats.
  const std::vector<size_t>& Successors(size_t node) const { return successors_[node]; }
  const std::vector<size_t>& Predecessors(size_t node) const { return predecessors_[node]; }

  // Cycles a -> b -> ... -> a (the first node comes again at the end) that share no node; at least one of
  // every strongly connected component that has any. Each starts at its smallest node.
  std::vector<std::vector<size_t>> FindCycles() const;
  // Every node after its predecessors; among those possible, the smallest first. The graph has no cycle.
  std::vector<size_t> TopologicalOrder() const;

  // Nodes from which one of `seeds` can be reached, `seeds` included.
  std::vector<bool> Ancestors(const std::vector<size_t>& seeds) const;
  // Nodes that can be reached from one of `seeds`, `seeds` included.
  std::vector<bool> Descendants(const std::vector<size_t>& seeds) const;

 private:
  std::vector<std::vector<size_t>> successors_, predecessors_;
};

}  // namespace genflow
