#include "eval/answers.h"

#include <algorithm>
#include <utility>

#include "eval/statistics.h"
#include "eval/text_metrics.h"

namespace genflow::eval {

Result<QuestionSet> EncodeQuestions(const TunedModel& model, std::vector<Question> questions,
                                    const Progress& progress) {
  GF_TRY(const text::ChatEncoder* chat, model.Chat());
  const int64_t context = model.model().config().max_positions;
  QuestionSet out;
  for (size_t i = 0; i < questions.size(); ++i) {
    Question& question = questions[i];
    GF_CHECK_OK(ReportEncoded(progress, i, questions.size()));
    auto ids = chat->EncodePrompt(question.prompt);
    if (!ids.ok()) {
      Error error = std::move(ids).error();
      error.message = "example '" + question.id + "': " + error.message;
      return error;
    }
    if (static_cast<int64_t>(ids->size()) >= context) {
      out.too_long.push_back(std::move(question.id));
      continue;
    }
    out.questions.push_back(std::move(question));
    out.prompts.push_back(*std::move(ids));
  }
  GF_CHECK_OK(ReportEncoded(progress, questions.size(), questions.size()));
  if (out.questions.empty()) return AllTooLong(questions.size(), context);
  return out;
}

Result<std::vector<nn::Generation>> Answer(const TunedModel& model,
                                           const std::vector<std::vector<text::Message>>& prompts,
                                           const AnswerOptions& options) {
  GF_TRY(const text::ChatEncoder* chat, model.Chat());
  std::vector<std::vector<int32_t>> ids;
  for (const auto& prompt : prompts) {
    GF_CHECK_OK(ReportEncoded(options.progress, ids.size(), prompts.size()));
    GF_TRY(std::vector<int32_t> prompt_ids, chat->EncodePrompt(prompt));
    ids.push_back(std::move(prompt_ids));
  }
  return Answer(model, ids, options);
}

Result<std::vector<nn::Generation>> Answer(const TunedModel& model,
                                           const std::vector<std::vector<int32_t>>& prompts,
                                           const AnswerOptions& options) {
  GF_TRY(const text::ChatEncoder* chat, model.Chat());
  std::vector<int32_t> stop = chat->stop_ids();
  for (const int32_t id : model.model().config().eos_token_ids) {
    if (std::find(stop.begin(), stop.end(), id) == stop.end()) stop.push_back(id);
  }
  nn::GenerateOptions generate;
  generate.max_new_tokens = options.max_new_tokens;
  generate.max_batch = options.batch;
  generate.stop_tokens = std::move(stop);
  generate.logprobs = options.top_logprobs > 0;
  generate.top_logprobs = options.top_logprobs;
  generate.progress = options.progress;
  return nn::Generate(model.model(), &model.tokenizer(), prompts, generate);
}

Result<AnswerScores> ScoreAnswer(const nn::Generation& answer, const std::string& reference,
                                 const std::vector<text::Pattern>& patterns) {
  AnswerScores out;
  out.exact_match = ExactMatch(answer.text, reference) ? 1 : 0;
  out.prefix_match = PrefixMatch(answer.text, reference);
  out.rouge_l = RougeL(answer.text, reference);
  out.token_f1 = TokenF1(answer.text, reference);
  out.match = 1;
  for (const auto& pattern : patterns) {
    GF_TRY(const auto found, pattern.Find(answer.text));
    if (!found) out.match = 0;
  }
  out.stopped = answer.finish == nn::FinishReason::kStopToken ? 1 : 0;
  out.words = static_cast<double>(Words(answer.text).size());
  return out;
}

void AddAnswerMetrics(const std::vector<AnswerScores>& scores, bool with_patterns, const std::string& prefix,
                      const std::string& group, Report* report) {
  const auto add = [&](const char* name, double AnswerScores::*member, std::optional<bool> higher_is_better) {
    std::vector<double> values;
    for (const auto& score : scores) values.push_back(score.*member);
    const Estimate mean = Mean(values);
    Metric& metric = report->Set({.name = prefix + name,
                                  .value = mean.value,
                                  .stderr_value = mean.stderr_value,
                                  .n = mean.n,
                                  .higher_is_better = higher_is_better,
                                  .group = group});
    const bool sampled = member == &AnswerScores::exact_match || member == &AnswerScores::rouge_l;
    if (sampled) {
      metric.of_samples = SampleEstimator{.column = (prefix.empty() ? "" : "base_") + std::string(name)};
    }
  };
  add("exact_match", &AnswerScores::exact_match, true);
  add("prefix_match", &AnswerScores::prefix_match, true);
  add("rouge_l", &AnswerScores::rouge_l, true);
  add("token_f1", &AnswerScores::token_f1, true);
  if (with_patterns) add("match_rate", &AnswerScores::match, true);
  add("stopped", &AnswerScores::stopped, true);
  add("words", &AnswerScores::words, std::nullopt);
}

}  // namespace genflow::eval
