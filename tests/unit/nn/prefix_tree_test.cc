#include "nn/prefix_tree.h"

#include <gtest/gtest.h>

namespace genflow::nn {
namespace {

using Tokens = std::vector<int32_t>;

// The tokens that the last of a segment's own sees, in order.
Tokens Seen(const PrefixTree& tree, const PrefixSegment& segment) {
  Tokens seen;
  auto ranges = segment.prefix;
  ranges.push_back(segment.tokens);
  for (const TokenRange& range : ranges) {
    for (int64_t t = range.begin; t < range.end; ++t) seen.push_back(tree.tokens()[t]);
  }
  return seen;
}

TEST(PrefixTree, SharedTokensStandOnce) {
  const std::vector<Tokens> sequences = {{1, 2, 3}, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 6, 7}, {1, 2, 8}, {9}};
  PrefixTree tree;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int64_t shared = i == 0 ? 0 : SharedPrefix(sequences[i - 1], sequences[i]);
    tree.Add(sequences[i], shared);
    for (size_t t = 0; t < sequences[i].size(); ++t) {
      EXPECT_EQ(tree.tokens()[tree.Find(static_cast<int64_t>(t))], sequences[i][t]);
    }
  }
  EXPECT_EQ(tree.tokens(), (Tokens{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  ASSERT_EQ(tree.segments().size(), sequences.size());
  int64_t end = 0;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const PrefixSegment& segment = tree.segments()[i];
    EXPECT_EQ(Seen(tree, segment), sequences[i]);
    EXPECT_EQ(segment.tokens.begin, end);
    end = segment.tokens.end;
    EXPECT_EQ(segment.position + segment.tokens.end - segment.tokens.begin,
              static_cast<int64_t>(sequences[i].size()));
  }
}

TEST(PrefixTree, WhatIsWholeAPrefixHasNoSegment) {
  PrefixTree tree;
  tree.Add(Tokens{1, 2, 3}, 0);
  tree.Add(Tokens{1, 2, 3}, 3);
  EXPECT_EQ(tree.segments().size(), 1u);
  EXPECT_EQ(tree.Find(2), 2);
  EXPECT_EQ(tree.Find(3), -1);
}

}  // namespace
}  // namespace genflow::nn
