#include "graph/layout.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace genflow {

namespace {

constexpr int kOrderSweeps = 12;
constexpr int kPlaceSweeps = 16;
constexpr double kRounding = 1e-6;  // above what sums in another order differ by

// A node, or a piece of an edge that passes a layer.
struct Item {
  size_t layer = 0;
  double width = 0, x = 0;
  std::vector<size_t> up, down;  // items in the neighbouring layers
};

class LayeredDrawing {
 public:
  LayeredDrawing(const Graph& graph, const std::vector<double>& widths, const LayoutOptions& options)
      : graph_(graph), options_(options) {
    items_.resize(graph.size());
    for (size_t node = 0; node < graph.size(); ++node) items_[node].width = widths[node];
    AssignLayers();
    CutLongEdges();
    layers_.resize(layer_count_);
    for (size_t i = 0; i < items_.size(); ++i) layers_[items_[i].layer].push_back(i);
    place_.resize(items_.size());
    for (const auto& layer : layers_) Number(layer);
  }

  Layout Run() {
    Order();
    Place();
    return Result();
  }

 private:
  void AssignLayers() {
    const auto order = graph_.TopologicalOrder();
    for (const size_t node : order) {
      for (const size_t before : graph_.Predecessors(node))
        items_[node].layer = std::max(items_[node].layer, items_[before].layer + 1);
      layer_count_ = std::max(layer_count_, items_[node].layer + 1);
    }
    // What nothing comes before stands right above the first that reads it.
    for (auto node = order.rbegin(); node != order.rend(); ++node) {
      const auto& after = graph_.Successors(*node);
      if (!graph_.Predecessors(*node).empty() || after.empty()) continue;
      size_t nearest = layer_count_;
      for (const size_t next : after) nearest = std::min(nearest, items_[next].layer);
      items_[*node].layer = nearest - 1;
    }
  }

  void CutLongEdges() {
    for (size_t from = 0; from < graph_.size(); ++from) {
      for (const size_t to : graph_.Successors(from)) {
        size_t last = from;
        for (size_t layer = items_[from].layer + 1; layer < items_[to].layer; ++layer) {
          const size_t piece = items_.size();
          items_.push_back({layer, options_.edge_width, 0, {}, {}});
          pieces_[{from, to}].push_back(piece);
          Join(last, piece);
          last = piece;
        }
        Join(last, to);
      }
    }
  }

  void Join(size_t upper, size_t lower) {
    items_[upper].down.push_back(lower);
    items_[lower].up.push_back(upper);
  }

  void Number(const std::vector<size_t>& layer) {
    for (size_t i = 0; i < layer.size(); ++i) place_[layer[i]] = i;
  }

  // Edges between a layer and the one above that cross: inversions, counted with a Fenwick tree.
  size_t Crossings(size_t lower) const {
    std::vector<size_t> tree(layers_[lower - 1].size() + 1, 0);
    size_t crossings = 0, seen = 0;
    for (const size_t item : layers_[lower]) {
      std::vector<size_t> ends;
      for (const size_t up : items_[item].up) ends.push_back(place_[up]);
      for (const size_t end : ends) {
        size_t not_after = 0;
        for (size_t at = end + 1; at > 0; at &= at - 1) not_after += tree[at];
        crossings += seen - not_after;
      }
      for (const size_t end : ends) {
        for (size_t at = end + 1; at < tree.size(); at += at & (~at + 1)) ++tree[at];
        ++seen;
      }
    }
    return crossings;
  }

  size_t AllCrossings() const {
    size_t sum = 0;
    for (size_t layer = 1; layer < layers_.size(); ++layer) sum += Crossings(layer);
    return sum;
  }

  void SortLayer(std::vector<size_t>& layer, bool by_upper) {
    std::vector<std::pair<double, size_t>> keys;
    for (const size_t item : layer) {
      const auto& near = by_upper ? items_[item].up : items_[item].down;
      double sum = 0;
      for (const size_t other : near) sum += static_cast<double>(place_[other]);
      keys.emplace_back(
          near.empty() ? static_cast<double>(place_[item]) : sum / static_cast<double>(near.size()), item);
    }
    std::stable_sort(keys.begin(), keys.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (size_t i = 0; i < keys.size(); ++i) layer[i] = keys[i].second;
    Number(layer);
  }

  void Order() {
    auto best = layers_;
    size_t fewest = AllCrossings();
    for (int sweep = 0; sweep < kOrderSweeps && fewest > 0; ++sweep) {
      if (sweep % 2 == 0) {
        for (size_t layer = 1; layer < layers_.size(); ++layer) SortLayer(layers_[layer], true);
      } else {
        for (size_t layer = layers_.size() - 1; layer-- > 0;) SortLayer(layers_[layer], false);
      }
      const size_t crossings = AllCrossings();
      if (crossings >= fewest) continue;
      fewest = crossings;
      best = layers_;
    }
    layers_ = std::move(best);
    for (const auto& layer : layers_) Number(layer);
  }

  double Distance(size_t left, size_t right) const {
    return (items_[left].width + items_[right].width) / 2 + options_.gap;
  }

  // Moves the items of a layer as near as possible to the means of their neighbours, their order and
  // distances kept: isotonic regression, by pooling adjacent violators.
  void PlaceLayer(const std::vector<size_t>& layer, bool by_upper) {
    struct Pool {
      double sum, weight;
      size_t count;
      double Mean() const { return sum / weight; }
    };
    std::vector<double> offsets;
    std::vector<Pool> pools;
    for (size_t i = 0; i < layer.size(); ++i) {
      const Item& item = items_[layer[i]];
      offsets.push_back(i == 0 ? 0 : offsets.back() + Distance(layer[i - 1], layer[i]));
      double sum = 0, count = 0;
      for (const size_t other : by_upper ? item.up : item.down) {
        sum += items_[other].x;
        ++count;
      }
      const double wanted = count > 0 ? sum / count : item.x;
      // An edge that passes is better straight than a box in the middle.
      const double weight = count == 0 ? 0.1 : layer[i] >= graph_.size() ? 4 : 1;
      pools.push_back({(wanted - offsets.back()) * weight, weight, 1});
      while (pools.size() > 1 && pools[pools.size() - 2].Mean() >= pools.back().Mean()) {
        const Pool last = pools.back();
        pools.pop_back();
        pools.back() = {pools.back().sum + last.sum, pools.back().weight + last.weight,
                        pools.back().count + last.count};
      }
    }
    size_t i = 0;
    for (const Pool& pool : pools) {
      for (size_t k = 0; k < pool.count; ++k, ++i) items_[layer[i]].x = pool.Mean() + offsets[i];
    }
  }

  void Place() {
    for (const auto& layer : layers_) {
      for (size_t i = 1; i < layer.size(); ++i)
        items_[layer[i]].x = items_[layer[i - 1]].x + Distance(layer[i - 1], layer[i]);
    }
    for (int sweep = 0; sweep < kPlaceSweeps; ++sweep) {
      if (sweep % 2 == 0) {
        for (size_t layer = 1; layer < layers_.size(); ++layer) PlaceLayer(layers_[layer], true);
      } else {
        for (size_t layer = layers_.size(); layer-- > 0;) PlaceLayer(layers_[layer], false);
      }
    }
    // Whole numbers, rounded so that no distance shrinks: a shift to the right adds up along the layer at
    // most.
    double left = 0;
    bool first = true;
    for (const auto& layer : layers_) {
      for (size_t i = 0; i < layer.size(); ++i) {
        Item& item = items_[layer[i]];
        item.x = std::floor(item.x + 0.5 + kRounding);
        if (i > 0)
          item.x = std::max(item.x, std::ceil(items_[layer[i - 1]].x + Distance(layer[i - 1], layer[i])));
        const double begin = std::floor(item.x - item.width / 2);
        left = first ? begin : std::min(left, begin);
        first = false;
      }
    }
    for (Item& item : items_) item.x -= left;
  }

  Layout Result() const {
    Layout out;
    out.layers = layer_count_;
    for (const Item& item : items_) out.width = std::max(out.width, std::ceil(item.x + item.width / 2));
    for (size_t node = 0; node < graph_.size(); ++node)
      out.nodes.push_back({items_[node].x, items_[node].layer});
    for (size_t from = 0; from < graph_.size(); ++from) {
      for (const size_t to : graph_.Successors(from)) {
        LayoutEdge edge{from, to, {}};
        if (const auto pieces = pieces_.find({from, to}); pieces != pieces_.end()) {
          for (const size_t piece : pieces->second)
            edge.bends.push_back({items_[piece].x, items_[piece].layer});
        }
        out.edges.push_back(std::move(edge));
      }
    }
    return out;
  }

  const Graph& graph_;
  const LayoutOptions options_;
  std::vector<Item> items_;                                          // nodes first, then pieces
  std::map<std::pair<size_t, size_t>, std::vector<size_t>> pieces_;  // by edge
  std::vector<std::vector<size_t>> layers_;                          // items from left to right
  std::vector<size_t> place_;                                        // by item, in its layer
  size_t layer_count_ = 0;
};

}  // namespace

Layout LayOut(const Graph& graph, const std::vector<double>& widths, const LayoutOptions& options) {
  if (graph.size() == 0) return {};
  return LayeredDrawing(graph, widths, options).Run();
}

}  // namespace genflow
