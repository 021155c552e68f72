// A model's answers to questions, and how good they are.
#pragma once

#include <cstdint>
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
  Progress progress;
};

// Questions as tokens, through the chat template, with what did not fit.
struct QuestionSet {
  std::vector<Question> questions;
  std::vector<std::vector<int32_t>> prompts;  // of each question
  std::vector<std::string> too_long;          // ids left out: no room for an answer in the model's context
};

// A question that cannot be encoded is an error that names it; all too long is an error too.
Result<QuestionSet> EncodeQuestions(const TunedModel& model, std::vector<Question> questions,
                                    const Progress& progress = {});

// Greedy answers, one for each prompt. An answer ends with the chat format's end of turn, or with an
// end-of-text token of the model's config.
Result<std::vector<nn::Generation>> Answer(const TunedModel& model,
                                           const std::vector<std::vector<int32_t>>& prompts,
                                           const AnswerOptions& options);
// The same of conversations, through the chat template.
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
