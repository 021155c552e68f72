// eval.perplexity
#include "eval/perplexity.h"

#include <cmath>

#include "base/strings.h"
#include "stages/eval/stages.h"
#include "text/numbers.h"

namespace genflow::stages {
namespace {

eval::Metric MetricOf(const std::string& name, const eval::Estimate& estimate,
                      std::optional<bool> higher_is_better, const std::string& group = "",
                      std::optional<eval::SampleEstimator> of_samples = {}) {
  return {.name = name,
          .value = estimate.value,
          .stderr_value = estimate.stderr_value,
          .n = estimate.n,
          .higher_is_better = higher_is_better,
          .group = group,
          .of_samples = std::move(of_samples)};
}

// `column` holds a loss a token for each sample row.
eval::SampleEstimator LossOf(const char* column, bool exp) {
  return {.column = column, .weight = "tokens", .exp = exp};
}

}  // namespace

void EvalPerplexity::Declare(Spec& spec) {
  spec.Doc(
      "Scores the tokens that training would learn: the assistant's answers and the token that ends them, "
      "through "
      "the model's chat template. A dataset of plain text is scored whole, in windows of the model's "
      "context.\n\n"
      "Metrics: `perplexity`, `loss` (nats a token), `tokens`, `examples`, `too_long` (examples left out "
      "because they "
      "exceed the model's context) and, with an adapter, the base model's `baseline.perplexity` and "
      "`baseline.loss` "
      "and `improvement` (1 - perplexity / baseline.perplexity). Standard errors take examples as "
      "independent, and the windows of one text as one example.");
  model.Declare(spec);
  spec.Input("dataset", "dataset", "Held-out examples: messages or text.");
  spec.Param("max_examples", &max_examples, 0, "Rows to score, evenly spaced over the dataset; 0 is all.",
             {.min = 0, .max = 1e12});
  spec.Param("batch_tokens", &batch_tokens, 2048, "Tokens in one forward pass.", {.min = 1, .max = 1e7});
  spec.Output("report", "report", "Perplexity, with one sample row an example, or a window of a text.");
}

Outcome EvalPerplexity::Run(Context& context) {
  return Interruptible([&] {
    auto tuned = model.Load(context);
    const std::string& dataset = context.GetInput("dataset").path;
    const bool chats = ValueOf(data::DatasetReader::Open(dataset)).kind() != data::Kind::kText;
    const auto encoding = ProgressOf(context, "examples", "encoding");
    const eval::ScoredSet set =
        chats ? ValueOf(eval::EncodeChats(tuned, ValueOf(eval::ReadChats(dataset, max_examples)), encoding))
              : ValueOf(eval::EncodeTexts(tuned, ValueOf(eval::ReadTexts(dataset, max_examples)), encoding));
    const auto score = [&](const char* message) {
      return ValueOf(eval::Losses(tuned, set, batch_tokens, ProgressOf(context, "examples", message)));
    };
    std::vector<double> base;
    if (tuned.has_adapter()) base = score("base model");
    Require(tuned.ApplyAdapter());
    const std::vector<double> losses = score(tuned.has_adapter() ? "tuned model" : "");

    eval::Report report;
    report.title = "Perplexity";
    report.facts = {{"model", ArtifactName(context.GetInput("model"))},
                    {"dataset", ArtifactName(context.GetInput("dataset"))},
                    {"computed in", tuned.dtype() + " on " + tuned.device()}};
    const eval::Estimate loss = eval::LossPerToken(losses, set), perplexity = eval::Exp(loss);
    report.Set(MetricOf("perplexity", perplexity, false, "", LossOf("loss", true)));
    report.Set(MetricOf("loss", loss, false, "", LossOf("loss", false)));
    std::string summary =
        "Perplexity on " + WithCommas(loss.n) + " held-out " + (chats ? "answers" : "texts") + ": ";
    if (tuned.has_adapter()) {
      const eval::Estimate base_loss = eval::LossPerToken(base, set), baseline = eval::Exp(base_loss);
      const eval::Estimate improvement = eval::Improvement(losses, base, set);
      report.Set(MetricOf("improvement", improvement, true));
      report.Set(MetricOf("baseline.perplexity", baseline, false, "base model", LossOf("base_loss", true)));
      report.Set(MetricOf("baseline.loss", base_loss, false, "base model", LossOf("base_loss", false)));
      summary += "base " + eval::FormatMetric(*report.Find("baseline.perplexity")) + ", tuned " +
                 eval::FormatMetric(*report.Find("perplexity")) + " (" +
                 text::Percent(std::abs(improvement.value)) +
                 (improvement.value >= 0 ? " lower)" : " higher)");
    } else {
      summary += eval::FormatMetric(*report.Find("perplexity"));
    }
    report.Set({.name = "tokens", .value = static_cast<double>(set.tokens)});
    report.Set({.name = "examples", .value = static_cast<double>(loss.n)});
    ReportTooLong(set.too_long, &report, context);

    using Type = data::ColumnType;
    report.samples.columns = {{"id", Type::kString}, {"tokens", Type::kInt64}, {"loss", Type::kDouble}};
    if (tuned.has_adapter()) report.samples.columns.push_back({"base_loss", Type::kDouble});
    for (size_t i = 0; i < set.items.size(); ++i) {
      const auto tokens = static_cast<int64_t>(set.items[i].scored.size());
      report.samples.rows.push_back({set.ids[i], tokens, losses[i] / static_cast<double>(tokens)});
      if (tuned.has_adapter()) report.samples.rows.back().push_back(base[i] / static_cast<double>(tokens));
    }
    Publish(report, context);
    context.Summary(summary);
    return Outcome::kOk;
  });
}

}  // namespace genflow::stages
