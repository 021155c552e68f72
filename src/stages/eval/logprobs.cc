// eval.logprobs
#include <nlohmann/json.hpp>
#include <utility>

#include "eval/answers.h"
#include "nn/score.h"
#include "stages/eval/stages.h"

namespace genflow::stages {

using nlohmann::json;

void EvalLogprobs::Declare(Spec& spec) {
  spec.Doc(
      "For each example, cut before its last assistant message: the prompt as the chat template renders it, "
      "its "
      "tokens, the most probable next tokens with their log-probabilities, and the greedy answer with the "
      "gap between "
      "the two most probable tokens at each step. Another runtime that is given the same prompt must agree; "
      "where the "
      "gap is small, rounding alone may turn a greedy answer.\n\n"
      "Samples hold lists as JSON text: `prompt_tokens`, `top_tokens`, `top_logprobs`, `greedy_tokens`, "
      "`greedy_gaps`. Examples that leave no room for an answer in the model's context are left out and "
      "counted in "
      "the metric `too_long`.");
  model.Declare(spec);
  spec.Input("dataset", "dataset", "Held-out examples: messages.");
  spec.Param("max_examples", &max_examples, 20, "Rows to use, evenly spaced over the dataset; 0 is all.",
             {.min = 0, .max = 1e12});
  spec.Param("top_k", &top_k, 8, "Next tokens to list.", {.min = 1, .max = 1000});
  spec.Param("max_new_tokens", &max_new_tokens, 32, "Longest greedy answer in tokens.",
             {.min = 1, .max = 1e6});
  spec.Output("report", "report", "One sample row a prompt.");
}

Outcome EvalLogprobs::Run(Context& context) {
  return Interruptible([&] {
    auto all =
        ValueOf(eval::ToQuestions(ValueOf(eval::ReadChats(context.GetInput("dataset").path, max_examples))));
    auto tuned = model.Load(context);
    Require(tuned.ApplyAdapter());
    const text::ChatEncoder& chat = *ValueOf(tuned.Chat());
    const auto [questions, prompts, too_long] =
        ValueOf(eval::EncodeQuestions(tuned, std::move(all), ProgressOf(context, "examples", "encoding")));
    nn::ScoreOptions scoring;
    scoring.progress = ProgressOf(context, "prompts", "");
    const auto top = ValueOf(nn::NextTokenTopK(tuned.model(), prompts, top_k, scoring));
    eval::AnswerOptions options;
    options.max_new_tokens = max_new_tokens;
    options.top_logprobs = 2;
    options.progress = ProgressOf(context, "answers", "");
    const auto answers = ValueOf(eval::Answer(tuned, prompts, options));

    eval::Report report;
    report.title = "Next tokens";
    report.facts = {{"model", ArtifactName(context.GetInput("model"))},
                    {"computed in", tuned.dtype() + " on " + tuned.device()}};
    report.Set({.name = "prompts", .value = static_cast<double>(questions.size())});
    ReportTooLong(too_long, &report, context);
    for (const char* name : {"id", "prompt", "prompt_tokens", "top_tokens", "top_logprobs", "greedy_answer",
                             "greedy_tokens", "greedy_gaps"}) {
      report.samples.columns.push_back({name, data::ColumnType::kString});
    }
    for (size_t i = 0; i < questions.size(); ++i) {
      json tokens = json::array(), logprobs = json::array(), gaps = json::array();
      for (const auto& [id, logprob] : top[i]) {
        tokens.push_back(id);
        logprobs.push_back(logprob);
      }
      for (const auto& token : answers[i].details) {
        gaps.push_back(token.top_logprobs.at(0).logprob - token.top_logprobs.at(1).logprob);
      }
      report.samples.rows.push_back({questions[i].id, ValueOf(chat.RenderPrompt(questions[i].prompt)),
                                     json(prompts[i]).dump(), tokens.dump(), logprobs.dump(), answers[i].text,
                                     json(answers[i].tokens).dump(), gaps.dump()});
    }
    Publish(report, context);
    return Outcome::kOk;
  });
}

}  // namespace genflow::stages
