#include "nn/score.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "nn/guarded.h"
#include "nn/model.h"

namespace genflow::nn {
namespace {

Status CheckSequence(const CausalLM& model, const std::string& name, const std::vector<int32_t>& tokens) {
  GF_CHECK_OK(CheckTokens(model.config(), name, tokens));
  if (static_cast<int64_t>(tokens.size()) > model.config().max_positions) {
    return InvalidError(name + " has " + std::to_string(tokens.size()) +
                            " tokens, the model's context holds " +
                            std::to_string(model.config().max_positions),
                        "split it into windows");
  }
  return Ok();
}

Status CheckItem(const CausalLM& model, size_t index, const ScoreItem& item) {
  const std::string name = "item " + std::to_string(index);
  GF_CHECK_OK(CheckSequence(model, name, item.tokens));
  int64_t previous = 0;
  for (const int64_t position : item.scored) {
    if (position <= previous || position >= static_cast<int64_t>(item.tokens.size())) {
      return InvalidError(name + " scores position " + std::to_string(position) +
                          ", expected ascending positions from 1 to " +
                          std::to_string(item.tokens.size() - 1));
    }
    previous = position;
  }
  return Ok();
}

Status CheckOptions(const ScoreOptions& options) {
  if (options.batch_tokens < 1 || options.logits_rows < 1) {
    return InvalidError("batch_tokens and logits_rows are " + std::to_string(options.batch_tokens) + " and " +
                        std::to_string(options.logits_rows) + ", expected at least 1");
  }
  return Ok();
}

// What has to be read, and the positions of the tokens that are asked for: ascending, from 1 to
// tokens.size(), since each is asked for by those before it. Without any, nothing is read.
struct Question {
  std::span<const int32_t> tokens;
  std::span<const int64_t> positions;
};

// One of those tokens.
struct Asked {
  size_t question;
  int64_t position;
  int64_t row;  // the token before it in the tree, then its place among those that are asked for
};

// Reads sequences in passes of a bounded number of tokens. Those that begin alike stand side by side in the
// order of their tokens, so that a pass reads what they share once.
class Reader {
 public:
  // Called with logits [n, vocab] fp32 and the n tokens that they foretell; of a question in their order.
  using Use = std::function<void(const at::Tensor& logits, std::span<const Asked> asked)>;

  Reader(const CausalLM& model, std::vector<Question> questions, const ScoreOptions& options, Use use)
      : model_(model), questions_(std::move(questions)), options_(options), use_(std::move(use)) {}

  // kInterrupted when options.progress says so.
  Status Run() {
    std::vector<size_t> order;
    for (size_t i = 0; i < questions_.size(); ++i) {
      if (!questions_[i].positions.empty()) order.push_back(i);
    }
    std::ranges::stable_sort(order, [&](size_t a, size_t b) {
      return std::ranges::lexicographical_compare(questions_[a].tokens, questions_[b].tokens);
    });
    size_t finished = questions_.size() - order.size();
    for (size_t begin = 0; begin < order.size();) {
      const size_t end = RunPass(std::span(order).subspan(begin)) + begin;
      finished += end - begin;
      begin = end;
      if (options_.progress && !options_.progress(finished, questions_.size())) {
        return MakeError(Code::kInterrupted, "scoring was stopped");
      }
    }
    return Ok();
  }

 private:
  // Reads the first of these, as many as the budget allows, and returns how many.
  size_t RunPass(std::span<const size_t> order) {
    PrefixTree tree;
    std::vector<Asked> asked;
    size_t count = 0;
    for (; count < order.size(); ++count) {
      const Question& question = questions_[order[count]];
      const int64_t shared =
          count == 0 ? 0 : SharedPrefix(questions_[order[count - 1]].tokens, question.tokens);
      const int64_t total =
          static_cast<int64_t>(tree.tokens().size()) + static_cast<int64_t>(question.tokens.size()) - shared;
      if (count > 0 && total > options_.batch_tokens) break;
      tree.Add(question.tokens, shared);
      for (const int64_t position : question.positions)
        asked.push_back({order[count], position, tree.Find(position - 1)});
    }
    std::vector<int64_t> read;  // tokens whose hidden states are asked for, in order
    for (const Asked& each : asked) read.push_back(each.row);
    std::ranges::sort(read);
    read.erase(std::unique(read.begin(), read.end()), read.end());
    for (Asked& each : asked) each.row = std::ranges::lower_bound(read, each.row) - read.begin();
    const at::Tensor hidden = model_.HiddenOf(read, PackTree(tree, model_.device()));
    const auto rows = static_cast<size_t>(options_.logits_rows);
    for (size_t first = 0; first < asked.size(); first += rows)
      RunHead(hidden, std::span(asked).subspan(first, std::min(rows, asked.size() - first)));
    return count;
  }

  void RunHead(const at::Tensor& hidden, std::span<const Asked> asked) {
    std::vector<int64_t> rows;
    for (const Asked& each : asked) rows.push_back(each.row);
    const at::Tensor states = hidden.index_select(0, at::tensor(rows, at::kLong).to(hidden.device()));
    use_(model_.Logits(states).to(at::kFloat), asked);
  }

  const CausalLM& model_;
  std::vector<Question> questions_;
  const ScoreOptions& options_;
  Use use_;
};

}  // namespace

ScoreItem ScoreItem::Span(std::vector<int32_t> tokens, int64_t begin, int64_t end) {
  ScoreItem item;
  item.tokens = std::move(tokens);
  for (int64_t i = std::max<int64_t>(begin, 1); i < end; ++i) item.scored.push_back(i);
  return item;
}

Result<std::vector<Score>> ScoreItems(const CausalLM& model, std::span<const ScoreItem> items,
                                      const ScoreOptions& options) {
  GF_CHECK_OK(CheckOptions(options));
  for (size_t i = 0; i < items.size(); ++i) GF_CHECK_OK(CheckItem(model, i, items[i]));
  std::vector<Question> questions;
  for (const ScoreItem& item : items) {
    // Nothing behind the last scored token has to be read, nor that token.
    const auto read = item.scored.empty() ? 0 : static_cast<size_t>(item.scored.back());
    questions.push_back({std::span(item.tokens).first(read), item.scored});
  }
  return Guarded("scoring", [&]() -> Result<std::vector<Score>> {
    const c10::InferenceMode inference;
    std::vector<Score> scores(items.size());
    const auto score = [&](const at::Tensor& logits, std::span<const Asked> asked) {
      std::vector<int64_t> tokens;
      for (const Asked& each : asked) tokens.push_back(items[each.question].tokens[each.position]);
      const at::Tensor chosen =
          logits.gather(1, at::tensor(tokens, at::kLong).to(logits.device()).unsqueeze(1)).squeeze(1);
      const at::Tensor logprobs = (chosen - logits.logsumexp({1})).cpu();
      const at::Tensor greedy = (chosen >= logits.amax({1})).cpu();
      for (size_t i = 0; i < asked.size(); ++i) {
        Score& to = scores[asked[i].question];
        const float logprob = logprobs.const_data_ptr<float>()[i];
        to.logprob += logprob;
        to.token_logprobs.push_back(logprob);
        to.greedy = to.greedy && greedy.const_data_ptr<bool>()[i];
      }
    };
    GF_CHECK_OK(Reader(model, std::move(questions), options, score).Run());
    return scores;
  });
}

Result<std::vector<std::vector<TokenLogProb>>> NextTokenTopK(const CausalLM& model,
                                                             const std::vector<std::vector<int32_t>>& prompts,
                                                             int64_t k, const ScoreOptions& options) {
  GF_CHECK_OK(CheckOptions(options));
  std::vector<int64_t> lengths;
  for (size_t i = 0; i < prompts.size(); ++i) {
    GF_CHECK_OK(CheckSequence(model, "prompt " + std::to_string(i), prompts[i]));
    lengths.push_back(static_cast<int64_t>(prompts[i].size()));
  }
  std::vector<Question> questions;
  for (size_t i = 0; i < prompts.size(); ++i) questions.push_back({prompts[i], std::span(&lengths[i], 1)});
  k = std::clamp<int64_t>(k, 0, model.config().vocab_size);
  return Guarded("scoring", [&]() -> Result<std::vector<std::vector<TokenLogProb>>> {
    const c10::InferenceMode inference;
    std::vector<std::vector<TokenLogProb>> results(prompts.size());
    const auto list = [&](const at::Tensor& logits, std::span<const Asked> asked) {
      auto [values, ids] = logits.log_softmax(1).topk(k, 1);
      values = values.cpu();
      ids = ids.cpu();
      for (size_t i = 0; i < asked.size(); ++i) {
        for (int64_t j = 0; j < k; ++j) {
          const auto at = static_cast<int64_t>(i) * k + j;
          results[asked[i].question].push_back(
              {static_cast<int32_t>(ids.const_data_ptr<int64_t>()[at]), values.const_data_ptr<float>()[at]});
        }
      }
    };
    GF_CHECK_OK(Reader(model, std::move(questions), options, list).Run());
    return results;
  });
}

}  // namespace genflow::nn
