#include "nn/prefix_tree.h"

#include <algorithm>

namespace genflow::nn {

void PrefixTree::Add(std::span<const int32_t> sequence, int64_t shared) {
  std::vector<TokenRange> path;
  int64_t covered = 0;
  for (const TokenRange& range : path_) {
    const int64_t count = std::min(range.end - range.begin, shared - covered);
    if (count <= 0) break;
    path.push_back({range.begin, range.begin + count});
    covered += count;
  }
  const auto begin = static_cast<int64_t>(tokens_.size());
  tokens_.insert(tokens_.end(), sequence.begin() + covered, sequence.end());
  const auto end = static_cast<int64_t>(tokens_.size());
  if (end > begin) {
    segments_.push_back({{begin, end}, path, covered});
    path.push_back({begin, end});
  }
  path_ = std::move(path);
}

int64_t PrefixTree::Find(int64_t position) const {
  for (const TokenRange& range : path_) {
    const int64_t count = range.end - range.begin;
    if (position < count) return range.begin + position;
    position -= count;
  }
  return -1;
}

int64_t SharedPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const auto end = std::ranges::mismatch(a, b).in1;
  return end - a.begin();
}

}  // namespace genflow::nn
