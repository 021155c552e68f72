// Loss and perplexity on the tokens that training would learn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/examples.h"
#include "eval/statistics.h"
#include "eval/tuned_model.h"
#include "nn/score.h"

namespace genflow::eval {

// Examples as tokens, with what did not fit.
struct ScoredSet {
  std::vector<std::string> ids;  // of the example that each item is of
  std::vector<nn::ScoreItem> items;
  std::vector<size_t> examples;       // of each item, the number of its example; ascending
  int64_t tokens = 0;                 // scored
  std::vector<std::string> too_long;  // ids left out: longer than the model's context
};

// Through the chat template, answers marked exactly as in training. An example that cannot be encoded is an
// error that names it; all too long is an error too.
Result<ScoredSet> EncodeChats(const TunedModel& model, const std::vector<ChatExample>& examples,
                              const Progress& progress = {});

// Plain text: every token but the first of a window, in windows of the model's context without overlap.
Result<ScoredSet> EncodeTexts(const TunedModel& model, const std::vector<TextExample>& examples,
                              const Progress& progress = {});

// Negative log-likelihood of each item, in nats.
Result<std::vector<double>> Losses(const TunedModel& model, const ScoredSet& set, int64_t batch_tokens,
                                   const Progress& progress);

// Both below take examples as independent, and the windows of one text as one example.
//
// 1 - tuned perplexity / base perplexity, with the standard error of the paired difference.
Estimate Improvement(const std::vector<double>& tuned, const std::vector<double>& base, const ScoredSet& set);

// Loss a token over the set.
Estimate LossPerToken(const std::vector<double>& losses, const ScoredSet& set);

}  // namespace genflow::eval
