// A model's answers to questions, and how good they are.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "eval/examples.h"
#include "eval/report.h"
#include "eval/tuned_model.h"
#include "nn/generate.h"
#include "text/pattern.h"

namespace genflow::eval {

struct AnswerOptions {
  int64_t max_new_tokens = 64;
  int64_t batch = 16;
  int64_t top_logprobs = 0;  // fills nn::Generation::details
  std::function<bool(size_t done, size_t total)> progress;
};

// Greedy answers through the chat template, one for each prompt.
Result<std::vector<nn::Generation>> Answer(const TunedModel& model,
                                           const std::vector<std::vector<text::Message>>& prompts,
                                           const AnswerOptions& options);

// Scores of one answer.
struct AnswerScores {
  double exact_match = 0, prefix_match = 0, rouge_l = 0, token_f1 = 0, match = 0, stopped = 0, words = 0;
};

// `patterns`: match is 1 when the answer matches every one of them.
Result<AnswerScores> ScoreAnswer(const nn::Generation& answer, const std::string& reference,
                                 const std::vector<text::Pattern>& patterns);

// Adds "PREFIX" + exact_match, prefix_match, rouge_l, token_f1, match_rate (with patterns only), stopped and
// words, each with its standard error.
void AddAnswerMetrics(const std::vector<AnswerScores>& scores, bool with_patterns, const std::string& prefix,
                      const std::string& group, Report* report);

}  // namespace genflow::eval
