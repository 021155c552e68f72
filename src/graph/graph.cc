#include "graph/graph.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace genflow {

namespace {

void InsertSorted(std::vector<size_t>* list, size_t value) {
  // Edges usually arrive in ascending order, so that this is a push_back.
  if (list->empty() || list->back() < value) {
    list->push_back(value);
    return;
  }
  const auto at = std::lower_bound(list->begin(), list->end(), value);
  if (at == list->end() || *at != value) list->insert(at, value);
}

std::vector<bool> Reach(const std::vector<std::vector<size_t>>& next, const std::vector<size_t>& seeds) {
  std::vector<bool> reached(next.size(), false);
  std::vector<size_t> open;
  auto visit = [&](size_t node) {
    if (reached[node]) return;
    reached[node] = true;
    open.push_back(node);
  };
  for (size_t seed : seeds) visit(seed);
  while (!open.empty()) {
    const size_t node = open.back();
    open.pop_back();
    for (size_t other : next[node]) visit(other);
  }
  return reached;
}

}  // namespace

size_t Graph::AddNode() {
  successors_.emplace_back();
  predecessors_.emplace_back();
  return size() - 1;
}

void Graph::AddEdge(size_t from, size_t to) {
  InsertSorted(&successors_[from], to);
  InsertSorted(&predecessors_[to], from);
}

std::vector<std::vector<size_t>> Graph::FindCycles() const {
  enum class Mark : char { kNew, kOnPath, kDone };
  std::vector<Mark> marks(size(), Mark::kNew);
  std::vector<bool> reported(size(), false);
  std::vector<std::vector<size_t>> cycles;
  std::vector<std::pair<size_t, size_t>> path;  // node, next successor to look at
  for (size_t root = 0; root < size(); ++root) {
    if (marks[root] != Mark::kNew) continue;
    path.emplace_back(root, 0);
    marks[root] = Mark::kOnPath;
    while (!path.empty()) {
      auto& [node, next] = path.back();
      if (next == successors_[node].size()) {
        marks[node] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const size_t other = successors_[node][next++];
      if (marks[other] == Mark::kNew) {
        marks[other] = Mark::kOnPath;
        path.emplace_back(other, 0);
      } else if (marks[other] == Mark::kOnPath) {
        std::vector<size_t> cycle;
        size_t at = path.size();
        do cycle.push_back(path[--at].first);
        while (path[at].first != other);
        if (std::any_of(cycle.begin(), cycle.end(), [&](size_t n) { return reported[n]; })) continue;
        for (size_t n : cycle) reported[n] = true;
        std::reverse(cycle.begin(), cycle.end());
        std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
        cycle.push_back(cycle.front());
        cycles.push_back(std::move(cycle));
      }
    }
  }
  return cycles;
}

std::vector<size_t> Graph::TopologicalOrder() const {
  std::vector<size_t> blockers(size());
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> open;
  for (size_t node = 0; node < size(); ++node) {
    blockers[node] = predecessors_[node].size();
    if (blockers[node] == 0) open.push(node);
  }
  std::vector<size_t> order;
  order.reserve(size());
  while (!open.empty()) {
    const size_t node = open.top();
    open.pop();
    order.push_back(node);
    for (size_t other : successors_[node]) {
      if (--blockers[other] == 0) open.push(other);
    }
  }
  return order;
}

std::vector<bool> Graph::Ancestors(const std::vector<size_t>& seeds) const {
  return Reach(predecessors_, seeds);
}

std::vector<bool> Graph::Descendants(const std::vector<size_t>& seeds) const {
  return Reach(successors_, seeds);
}

}  // namespace genflow
