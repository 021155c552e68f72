#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>

namespace genflow::eval {
namespace {

// The values of the items, summed for each example.
std::vector<double> ByExample(const std::vector<double>& values, const ScoredSet& set) {
  std::vector<double> out;
  for (size_t i = 0; i < values.size(); ++i) {
    if (i == 0 || set.examples[i] != set.examples[i - 1]) out.push_back(0);
    out.back() += values[i];
  }
  return out;
}

std::vector<double> TokenCounts(const ScoredSet& set) {
  std::vector<double> out;
  for (const auto& item : set.items) out.push_back(static_cast<double>(item.scored.size()));
  return ByExample(out, set);
}

}  // namespace

Result<ScoredSet> EncodeChats(const TunedModel& model, const std::vector<ChatExample>& examples,
                              const Progress& progress) {
  GF_TRY(const text::ChatEncoder* chat, model.Chat());
  const int64_t context = model.model().config().max_positions;
  ScoredSet out;
  for (size_t number = 0; number < examples.size(); ++number) {
    const ChatExample& example = examples[number];
    GF_CHECK_OK(ReportEncoded(progress, number, examples.size()));
    const text::ChatOutcome outcome = chat->EncodeChat(example.messages, {.max_length = context});
    if (outcome.refusal == text::ChatRefusal::kTooLong) {
      out.too_long.push_back(example.id);
      continue;
    }
    if (!outcome.ok()) {
      Error error = outcome.error;
      error.message = "example '" + example.id + "': " + error.message;
      return error;
    }
    nn::ScoreItem item{outcome.chat.ids, {}};
    for (size_t i = 1; i < outcome.chat.train.size(); ++i) {
      if (outcome.chat.train[i] != 0) item.scored.push_back(static_cast<int64_t>(i));
    }
    out.tokens += static_cast<int64_t>(item.scored.size());
    out.ids.push_back(example.id);
    out.items.push_back(std::move(item));
    out.examples.push_back(number);
  }
  GF_CHECK_OK(ReportEncoded(progress, examples.size(), examples.size()));
  if (out.items.empty()) return AllTooLong(examples.size(), context);
  return out;
}

Result<ScoredSet> EncodeTexts(const TunedModel& model, const std::vector<TextExample>& examples,
                              const Progress& progress) {
  const auto context = static_cast<size_t>(model.model().config().max_positions);
  ScoredSet out;
  for (size_t number = 0; number < examples.size(); ++number) {
    const TextExample& example = examples[number];
    GF_CHECK_OK(ReportEncoded(progress, number, examples.size()));
    const std::vector<int32_t> ids = model.tokenizer().Encode(example.text, {.add_special = true});
    for (size_t begin = 0; begin < ids.size(); begin += context) {
      const size_t end = std::min(ids.size(), begin + context);
      if (end - begin < 2) break;
      out.ids.push_back(example.id);
      out.examples.push_back(number);
      out.items.push_back(nn::ScoreItem::Span(
          {ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.begin() + static_cast<std::ptrdiff_t>(end)},
          1, static_cast<int64_t>(end - begin)));
      out.tokens += static_cast<int64_t>(end - begin) - 1;
    }
  }
  GF_CHECK_OK(ReportEncoded(progress, examples.size(), examples.size()));
  if (out.items.empty()) return InvalidError("no text of the dataset has two tokens or more");
  return out;
}

Result<std::vector<double>> Losses(const TunedModel& model, const ScoredSet& set, int64_t batch_tokens,
                                   const Progress& progress) {
  nn::ScoreOptions options;
  options.batch_tokens = batch_tokens;
  options.progress = progress;
  GF_TRY(const auto scores, nn::ScoreItems(model.model(), set.items, options));
  std::vector<double> out;
  for (const auto& score : scores) out.push_back(-score.logprob);
  return out;
}

Estimate Improvement(const std::vector<double>& tuned, const std::vector<double>& base,
                     const ScoredSet& set) {
  std::vector<double> difference(tuned.size());
  for (size_t i = 0; i < tuned.size(); ++i) difference[i] = tuned[i] - base[i];
  const Estimate ratio = Exp(RatioOfSums(ByExample(difference, set), TokenCounts(set)));
  return {1 - ratio.value, ratio.stderr_value, ratio.n};
}

Estimate LossPerToken(const std::vector<double>& losses, const ScoredSet& set) {
  return RatioOfSums(ByExample(losses, set), TokenCounts(set));
}

}  // namespace genflow::eval
