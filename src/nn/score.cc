#include "nn/score.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <numeric>

#include "nn/guarded.h"
#include "nn/model.h"

namespace genflow::nn {
namespace {

// Calls run(indices) for batches of items, longest first, each within the token budget; false from the
// progress callback ends with kInterrupted.
template <class Run>
Status ForEachBatch(const std::vector<int64_t>& lengths, const ScoreOptions& options, const Run& run) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return lengths[a] > lengths[b]; });
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    int64_t tokens = 0;
    while (end < order.size() && (end == begin || tokens + lengths[order[end]] <= options.batch_tokens)) {
      tokens += lengths[order[end++]];
    }
    run(std::span<const size_t>(order).subspan(begin, end - begin));
    if (options.progress && !options.progress(end, order.size())) {
      return MakeError(Code::kInterrupted, "scoring was stopped");
    }
    begin = end;
  }
  return Ok();
}

Status CheckTokens(const CausalLM& model, const std::string& name, const std::vector<int32_t>& tokens) {
  const ModelConfig& config = model.config();
  if (tokens.empty()) return InvalidError(name + " is empty, expected at least one token");
  if (static_cast<int64_t>(tokens.size()) > config.max_positions) {
    return InvalidError(name + " has " + std::to_string(tokens.size()) +
                            " tokens, the model's context holds " + std::to_string(config.max_positions),
                        "split it into windows");
  }
  for (const int32_t token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return InvalidError(name + " holds token " + std::to_string(token) + ", the model's vocabulary has " +
                              std::to_string(config.vocab_size),
                          "use the tokenizer that belongs to the model");
    }
  }
  return Ok();
}

Status CheckItem(const CausalLM& model, size_t index, const ScoreItem& item) {
  const std::string name = "item " + std::to_string(index);
  GF_CHECK_OK(CheckTokens(model, name, item.tokens));
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

// A target token and where its score goes.
struct Target {
  int64_t row;  // of the hidden states
  int64_t token;
  size_t item;
};

class Scorer {
 public:
  Scorer(const CausalLM& model, std::span<const ScoreItem> items, const ScoreOptions& options)
      : model_(model), items_(items), options_(options), scores_(items.size()) {}

  // Items that begin alike stand side by side in the order of their tokens, so that a pass reads what they
  // share once.
  Result<std::vector<Score>> Run() {
    std::vector<size_t> order;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (!items_[i].scored.empty()) order.push_back(i);
    }
    std::ranges::stable_sort(
        order, [&](size_t a, size_t b) { return std::ranges::lexicographical_compare(Read(a), Read(b)); });
    size_t finished = items_.size() - order.size();
    for (size_t begin = 0; begin < order.size();) {
      const size_t end = RunPass(std::span(order).subspan(begin)) + begin;
      finished += end - begin;
      begin = end;
      if (options_.progress && !options_.progress(finished, items_.size())) {
        return MakeError(Code::kInterrupted, "scoring was stopped");
      }
    }
    return std::move(scores_);
  }

 private:
  // What has to be read of an item: nothing behind the last scored token, nor that token.
  std::span<const int32_t> Read(size_t item) const {
    return std::span(items_[item].tokens).first(static_cast<size_t>(items_[item].scored.back()));
  }

  // Scores the first of these items, as many as the budget allows, and returns how many.
  size_t RunPass(std::span<const size_t> order) {
    PrefixTree tree;
    std::vector<Target> targets;
    size_t count = 0;
    for (; count < order.size(); ++count) {
      const std::span<const int32_t> tokens = Read(order[count]);
      const int64_t shared = count == 0 ? 0 : SharedPrefix(Read(order[count - 1]), tokens);
      const int64_t total =
          static_cast<int64_t>(tree.tokens().size()) + static_cast<int64_t>(tokens.size()) - shared;
      if (count > 0 && total > options_.batch_tokens) break;
      tree.Add(tokens, shared);
      const ScoreItem& item = items_[order[count]];
      for (const int64_t position : item.scored) {
        targets.push_back({tree.Find(position - 1), item.tokens[position], order[count]});
      }
    }
    const at::Tensor hidden = model_.Hidden(PackTree(tree, model_.device()))[0];  // [N, hidden]
    for (size_t first = 0; first < targets.size(); first += options_.logits_rows) {
      RunHead(hidden, std::span(targets).subspan(
                          first, std::min<size_t>(options_.logits_rows, targets.size() - first)));
    }
    return count;
  }

  void RunHead(const at::Tensor& hidden, std::span<const Target> targets) {
    std::vector<int64_t> rows, tokens;
    for (const Target& target : targets) {
      rows.push_back(target.row);
      tokens.push_back(target.token);
    }
    const at::Tensor states = hidden.index_select(0, at::tensor(rows, at::kLong).to(hidden.device()));
    const at::Tensor logits = model_.Logits(states).to(at::kFloat);  // [n, vocab]
    const at::Tensor chosen =
        logits.gather(1, at::tensor(tokens, at::kLong).to(hidden.device()).unsqueeze(1)).squeeze(1);
    const at::Tensor logprobs = (chosen - logits.logsumexp({1})).cpu();
    const at::Tensor greedy = (chosen >= logits.amax({1})).cpu();
    for (size_t i = 0; i < targets.size(); ++i) {
      Score& score = scores_[targets[i].item];
      const float logprob = logprobs.const_data_ptr<float>()[i];
      score.logprob += logprob;
      score.token_logprobs.push_back(logprob);
      score.greedy = score.greedy && greedy.const_data_ptr<bool>()[i];
    }
  }

  const CausalLM& model_;
  std::span<const ScoreItem> items_;
  const ScoreOptions& options_;
  std::vector<Score> scores_;
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
  return Guarded("scoring", [&] {
    const c10::InferenceMode inference;
    return Scorer(model, items, options).Run();
  });
}

Result<std::vector<std::vector<TokenLogProb>>> NextTokenTopK(const CausalLM& model,
                                                             const std::vector<std::vector<int32_t>>& prompts,
                                                             int64_t k, const ScoreOptions& options) {
  GF_CHECK_OK(CheckOptions(options));
  std::vector<int64_t> lengths;
  for (size_t i = 0; i < prompts.size(); ++i) {
    GF_CHECK_OK(CheckTokens(model, "prompt " + std::to_string(i), prompts[i]));
    lengths.push_back(static_cast<int64_t>(prompts[i].size()));
  }
  k = std::clamp<int64_t>(k, 0, model.config().vocab_size);
  return Guarded("scoring", [&]() -> Result<std::vector<std::vector<TokenLogProb>>> {
    const c10::InferenceMode inference;
    std::vector<std::vector<TokenLogProb>> results(prompts.size());
    GF_CHECK_OK(ForEachBatch(lengths, options, [&](std::span<const size_t> batch) {
      std::vector<std::vector<int32_t>> sequences;
      for (const size_t index : batch) sequences.push_back(prompts[index]);
      const Batch packed = PackSequences(sequences, model.device());
      std::vector<int64_t> last;
      for (size_t i = 1; i < packed.cu_seqlens.size(); ++i) last.push_back(packed.cu_seqlens[i] - 1);
      const at::Tensor states =
          model.Hidden(packed)[0].index_select(0, at::tensor(last, at::kLong).to(model.device()));
      const at::Tensor logprobs = model.Logits(states).to(at::kFloat).log_softmax(1);  // [n, vocab]
      auto [values, ids] = logprobs.topk(k, 1);
      values = values.cpu();
      ids = ids.cpu();
      for (size_t i = 0; i < batch.size(); ++i) {
        for (int64_t j = 0; j < k; ++j) {
          const auto at = static_cast<int64_t>(i) * k + j;
          results[batch[i]].push_back(
              {static_cast<int32_t>(ids.const_data_ptr<int64_t>()[at]), values.const_data_ptr<float>()[at]});
        }
      }
    }));
    return results;
  });
}

}  // namespace genflow::nn
