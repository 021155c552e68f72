// Lays sequences that begin alike on one flat axis of tokens, what they share once. Torch-free.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace genflow::nn {

// Tokens begin <= t < end of the flat axis.
struct TokenRange {
  int64_t begin, end;
};

// New tokens of one sequence. Each sees those of `prefix`, in this order, and its own up to itself.
struct PrefixSegment {
  TokenRange tokens;
  std::vector<TokenRange> prefix;
  int64_t position;  // of the first: the number of tokens in `prefix`
};

class PrefixTree {
 public:
  // Adds a sequence, which shares its first `shared` tokens with the one added before (0 for the first).
  void Add(std::span<const int32_t> sequence, int64_t shared);

  const std::vector<int32_t>& tokens() const { return tokens_; }            // of the flat axis
  const std::vector<PrefixSegment>& segments() const { return segments_; }  // in the axis' order
  // Where token `position` of the sequence added last stands.
  int64_t Find(int64_t position) const;

 private:
  std::vector<int32_t> tokens_;
  std::vector<PrefixSegment> segments_;
  std::vector<TokenRange> path_;  // of the sequence added last
};

// How many tokens two sequences begin alike with.
int64_t SharedPrefix(std::span<const int32_t> a, std::span<const int32_t> b);

}  // namespace genflow::nn
