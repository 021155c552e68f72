// eval.generate
#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "eval/answers.h"
#include "eval/markdown.h"
#include "stages/eval/stages.h"

namespace genflow::stages {
namespace {

std::vector<eval::AnswerScores> Scores(const std::vector<nn::Generation>& answers,
                                       const std::vector<eval::Question>& questions,
                                       const std::vector<text::Pattern>& patterns) {
  std::vector<eval::AnswerScores> out;
  for (size_t i = 0; i < answers.size(); ++i) {
    out.push_back(ValueOf(eval::ScoreAnswer(answers[i], questions[i].reference, patterns)));
  }
  return out;
}

// Metrics of both models in two columns.
eval::Table SideBySide(const eval::Report& report) {
  eval::Table table{"Base and tuned model", {"metric", "base", "tuned"}, {}};
  for (const auto& metric : report.metrics) {
    if (const eval::Metric* base = report.Find("baseline." + metric.name)) {
      table.rows.push_back({metric.name, eval::FormatMetric(*base), eval::FormatMetric(metric)});
    }
  }
  return table;
}

}  // namespace

void EvalGenerate::Declare(Spec& spec) {
  spec.Doc(
      "Each example is cut before its last assistant message; the model answers greedily through its chat "
      "template, "
      "and the answer is held against that message.\n\n"
      "Metrics: `exact_match` (white space aside), `prefix_match` (share of the reference's words that the "
      "answer "
      "starts with), `rouge_l`, `token_f1`, `match_rate` (answers that match every pattern of `match`), "
      "`stopped` "
      "(answers that the model ended itself) and `words`; with an adapter, the base model's under "
      "`baseline.`; and `too_long`, examples left out because they leave no room for an answer in the "
      "model's "
      "context.");
  model.Declare(spec);
  spec.Input("dataset", "dataset", "Held-out examples: messages.");
  spec.Param("max_examples", &max_examples, 64, "Rows to answer, evenly spaced over the dataset; 0 is all.",
             {.min = 0, .max = 1e12});
  spec.Param("max_new_tokens", &max_new_tokens, 64, "Longest answer in tokens.", {.min = 1, .max = 1e6});
  spec.Param("batch", &batch, 16, "Answers written at once.", {.min = 1, .max = 4096});
  spec.Param(
      "match", &match, "[]",
      "Regular expressions (PCRE2) of the style that is wanted; an answer matches when all of them do.");
  spec.Output("report", "report", "Scores, with question, reference and answers as samples.");
}

std::string EvalGenerate::Check() const {
  std::vector<std::string> problems;
  for (size_t i = 0; i < match.size(); ++i) {
    const auto pattern = text::Pattern::Compile(match[i]);
    if (!pattern.ok()) problems.push_back("match[" + std::to_string(i) + "]: " + CheckText(pattern.error()));
  }
  return Join(problems, "\n");
}

Outcome EvalGenerate::Run(Context& context) {
  return Interruptible([&] {
    std::vector<text::Pattern> patterns;
    for (const auto& text : match) patterns.push_back(ValueOf(text::Pattern::Compile(text)));
    auto all =
        ValueOf(eval::ToQuestions(ValueOf(eval::ReadChats(context.GetInput("dataset").path, max_examples))));
    auto tuned = model.Load(context);
    const eval::QuestionSet set =
        ValueOf(eval::EncodeQuestions(tuned, std::move(all), ProgressOf(context, "examples", "encoding")));
    const auto& questions = set.questions;
    const auto answer = [&](const char* message) {
      eval::AnswerOptions options;
      options.max_new_tokens = max_new_tokens;
      options.batch = batch;
      options.progress = ProgressOf(context, "answers", message);
      return ValueOf(eval::Answer(tuned, set.prompts, options));
    };
    std::vector<nn::Generation> base;
    if (tuned.has_adapter()) base = answer("base model");
    Require(tuned.ApplyAdapter());
    const std::vector<nn::Generation> answers = answer(tuned.has_adapter() ? "tuned model" : "");

    eval::Report report;
    report.title = "Answers";
    report.facts = {{"model", ArtifactName(context.GetInput("model"))},
                    {"dataset", ArtifactName(context.GetInput("dataset"))},
                    {"computed in", tuned.dtype() + " on " + tuned.device()},
                    {"decoding", "greedy, at most " + std::to_string(max_new_tokens) + " tokens"}};
    const auto scores = Scores(answers, questions, patterns);
    eval::AddAnswerMetrics(scores, !patterns.empty(), "", "", &report);
    std::vector<eval::AnswerScores> base_scores;
    if (tuned.has_adapter()) {
      base_scores = Scores(base, questions, patterns);
      eval::AddAnswerMetrics(base_scores, !patterns.empty(), "baseline.", "base model", &report);
    }
    ReportTooLong(set.too_long, &report, context);
    eval::Table shown{"Answers before and after", {"question", "base", "tuned", "reference"}, {}};
    if (!tuned.has_adapter()) shown = {"Answers", {"question", "answer", "reference"}, {}};
    using Type = data::ColumnType;
    auto& columns = report.samples.columns;
    columns = {{"id", Type::kString},     {"question", Type::kString}, {"reference", Type::kString},
               {"answer", Type::kString}, {"rouge_l", Type::kDouble},  {"exact_match", Type::kBool}};
    if (tuned.has_adapter()) {
      columns.insert(columns.end(), {{"base_answer", Type::kString},
                                     {"base_rouge_l", Type::kDouble},
                                     {"base_exact_match", Type::kBool}});
    }
    for (size_t i = 0; i < questions.size(); ++i) {
      const auto& question = questions[i];
      auto& row = report.samples.rows.emplace_back();
      row = {question.id,     question.Asked(),  question.reference,
             answers[i].text, scores[i].rouge_l, scores[i].exact_match == 1};
      if (tuned.has_adapter()) {
        row.insert(row.end(), {base[i].text, base_scores[i].rouge_l, base_scores[i].exact_match == 1});
      }
      // Three of them, spread over the dataset.
      const size_t step = std::max<size_t>(1, questions.size() / 3);
      if (i % step != step / 2 || shown.rows.size() == 3) continue;
      const auto brief = [](const std::string& text) { return eval::Shorten(text, 160); };
      shown.rows.push_back({brief(question.Asked())});
      if (tuned.has_adapter()) shown.rows.back().push_back(brief(base[i].text));
      shown.rows.back().push_back(brief(answers[i].text));
      shown.rows.back().push_back(brief(question.reference));
    }
    std::string summary;
    if (tuned.has_adapter()) {
      report.tables.push_back(SideBySide(report));
      summary = "Answers to " + std::to_string(questions.size()) + " held-out questions\n\n" +
                eval::MarkdownTable(report.tables.back()) + "\n";
      for (const auto& row : shown.rows) {
        summary += "- **" + eval::MarkdownLine(row[0]) + "**\n  - before: " + eval::MarkdownLine(row[1]) +
                   "\n  - after: " + eval::MarkdownLine(row[2]) + "\n";
      }
    } else {
      summary = "Answers to " + std::to_string(questions.size()) + " held-out questions: rouge_l " +
                eval::FormatMetric(*report.Find("rouge_l"));
    }
    report.tables.push_back(std::move(shown));
    Publish(report, context);
    context.Summary(summary);
    return Outcome::kOk;
  });
}

}  // namespace genflow::stages
