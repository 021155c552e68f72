#include "graph/lanes.h"

#include <algorithm>

namespace genflow {

namespace {

class Drawing {
 public:
  explicit Drawing(const Graph& graph) : graph_(graph), lane_of_(graph.size()), left_(graph.size()) {
    for (size_t node = 0; node < graph.size(); ++node) left_[node] = graph.Successors(node).size();
  }

  void Add(size_t node) {
    const auto& before = graph_.Predecessors(node);
    std::vector<size_t> ending;  // lanes that end at this node
    for (const size_t source : before) {
      if (--left_[source] == 0) ending.push_back(lane_of_[source]);
    }
    const size_t lane = ending.empty() ? FreeLane() : *std::min_element(ending.begin(), ending.end());
    if (before.size() > 1 || (before.size() == 1 && ending.empty())) Connect(before, ending, lane);
    for (const size_t ended : ending) open_[ended] = false;

    LaneRow row = Open();
    row.node = node;
    row.lane = lane;
    row.cells[lane] = {};
    Trim(row);
    rows_.push_back(std::move(row));
    lane_of_[node] = lane;
    open_[lane] = left_[node] > 0;
  }

  std::vector<LaneRow> Take() { return std::move(rows_); }

 private:
  size_t FreeLane() {
    const auto free = std::find(open_.begin(), open_.end(), false);
    if (free != open_.end()) return static_cast<size_t>(free - open_.begin());
    open_.push_back(false);
    return open_.size() - 1;
  }

  // Every open lane going on.
  LaneRow Open() const {
    LaneRow row;
    row.cells.resize(open_.size());
    for (size_t lane = 0; lane < open_.size(); ++lane) {
      if (open_[lane]) row.cells[lane].sides = kLaneUp | kLaneDown;
    }
    return row;
  }

  // A row that leads from the lanes of `before` to `lane`.
  void Connect(const std::vector<size_t>& before, const std::vector<size_t>& ending, size_t lane) {
    LaneRow row = Open();
    std::vector<bool> joined(open_.size(), false);
    size_t first = lane, last = lane;
    for (const size_t source : before) {
      const size_t from = lane_of_[source];
      joined[from] = true;
      first = std::min(first, from);
      last = std::max(last, from);
    }
    for (const size_t ended : ending) row.cells[ended].sides = kLaneUp;
    row.cells[lane].sides |= kLaneDown;
    joined[lane] = true;
    for (size_t at = first; at <= last; ++at) {
      LaneRow::Cell& cell = row.cells[at];
      cell.crossing = !joined[at] && cell.sides != 0;
      if (at > first) cell.sides |= kLaneLeft;
      if (at < last) cell.sides |= kLaneRight;
    }
    Trim(row);
    rows_.push_back(std::move(row));
  }

  static void Trim(LaneRow& row) {
    while (row.cells.size() > row.lane + 1 && row.cells.back() == LaneRow::Cell()) row.cells.pop_back();
  }

  const Graph& graph_;
  std::vector<size_t> lane_of_, left_;  // by node; edges of it that are not drawn yet
  std::vector<bool> open_;              // by lane
  std::vector<LaneRow> rows_;
};

}  // namespace

std::vector<LaneRow> DrawLanes(const Graph& graph, const std::vector<size_t>& order) {
  Drawing drawing(graph);
  for (const size_t node : order) drawing.Add(node);
  return drawing.Take();
}

}  // namespace genflow
