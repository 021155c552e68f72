// Log-likelihoods of given tokens under a model, for perplexity and multiple choice.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "nn/generate.h"

namespace genflow::nn {

class CausalLM;

struct ScoreItem {
  std::vector<int32_t> tokens;
  // Indices into `tokens`, each at least 1 and ascending: log p(tokens[i] | tokens[0..i-1]) is computed
  // for these alone.
  std::vector<int64_t> scored;

  // Scores tokens begin..end-1 (begin of 0 is taken as 1: the first token has no context).
  static ScoreItem Span(std::vector<int32_t> tokens, int64_t begin, int64_t end);
};

struct Score {
  double logprob = 0;                 // sum over the scored tokens, natural logarithm
  bool greedy = true;                 // each scored token is the most probable one
  std::vector<float> token_logprobs;  // one for each entry of `scored`
};

struct ScoreOptions {
  int64_t batch_tokens = 2048;  // tokens in one forward pass, unless one item is longer
  int64_t logits_rows = 256;    // positions through the head at once
  // Items finished so far, called after each pass; false stops with kInterrupted.
  std::function<bool(size_t finished, size_t total)> progress;
};

// One score for each item, in order. What items of one pass begin alike with is read once, nothing is padded,
// the head runs on scored positions only; log-softmax in fp32. Refuses an item longer than the model's
// context, a token outside the vocabulary and a bad index, naming the item.
Result<std::vector<Score>> ScoreItems(const CausalLM& model, std::span<const ScoreItem> items,
                                      const ScoreOptions& options = {});

// The k most probable tokens after each prompt, most probable first; log-softmax in fp32.
Result<std::vector<std::vector<TokenLogProb>>> NextTokenTopK(const CausalLM& model,
                                                             const std::vector<std::vector<int32_t>>& prompts,
                                                             int64_t k, const ScoreOptions& options = {});

}  // namespace genflow::nn
