#include "nn/generate.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "nn/decode/decoder.h"
#include "nn/guarded.h"
#include "nn/model.h"
#include "nn/text_stream.h"
#include "text/tokenizer.h"

namespace genflow::nn {
namespace {

// One answer in the making.
struct Sequence {
  size_t index = 0;           // of its prompt
  std::vector<int32_t> seen;  // prompt and answer
  std::mt19937_64 generator;
  TextStream stream;
  bool done = false;
};

class Generator {
 public:
  Generator(const CausalLM& model, const text::Tokenizer* tokenizer,
            const std::vector<std::vector<int32_t>>& prompts, const GenerateOptions& options)
      : model_(model),
        tokenizer_(tokenizer),
        prompts_(prompts),
        options_(options),
        stop_tokens_(options.stop_tokens.value_or(model.config().eos_token_ids)),
        cache_(model.MakeCache()),
        results_(prompts.size()) {
    if (Decoder::Supports(model)) decoder_.emplace(model);
  }

  Result<std::vector<Generation>> Run() {
    while (true) {
      Admit();
      DropFinished();
      if (options_.progress && !options_.progress(finished_, prompts_.size())) {
        return MakeError(Code::kInterrupted, "text generation was stopped");
      }
      if (!active_.empty()) {
        Decode();
      } else if (next_prompt_ == prompts_.size()) {
        return std::move(results_);
      }
    }
  }

 private:
  // Tokens that a prompt has to share with another to be worth taking its keys and values from it.
  static constexpr int64_t kWorthCopying = 16;

  // Reads waiting prompts while there is room, and takes the first token of each answer. What a prompt begins
  // with is copied from the answer before, finished or not, that begins the most alike.
  void Admit() {
    int64_t room = options_.max_batch;
    for (const Sequence& sequence : active_) room -= sequence.done ? 0 : 1;
    while (next_prompt_ < prompts_.size() && room > 0) {
      const size_t begin = next_prompt_;
      const int64_t first_row = static_cast<int64_t>(active_.size());
      std::vector<std::vector<int32_t>> unread;
      std::vector<std::pair<int64_t, int64_t>> copies;  // row and length of each, length 0 for none
      int64_t tokens = 0;
      for (; next_prompt_ < prompts_.size() && room > 0; ++next_prompt_, --room) {
        const std::vector<int32_t>& prompt = prompts_[next_prompt_];
        const bool first = next_prompt_ == begin;
        const auto [row, shared] = BestPrefix(prompt);
        // What shares more with one that is about to be read waits for that, and copies from it.
        if (!first && SharedInGroup(prompt, begin) >= shared + kWorthCopying) break;
        const int64_t length = static_cast<int64_t>(prompt.size()) - shared;
        if (!first && tokens + length > options_.prefill_tokens) break;
        tokens += length;
        unread.emplace_back(prompt.begin() + shared, prompt.end());
        copies.emplace_back(row, shared);
      }
      cache_.AddRows(static_cast<int64_t>(unread.size()));
      for (size_t i = 0; i < unread.size(); ++i) {
        if (copies[i].second == 0) continue;
        cache_.CopyPrefix(copies[i].first, first_row + static_cast<int64_t>(i), copies[i].second);
      }
      for (size_t i = begin; i < next_prompt_; ++i) {
        results_[i].prompt_tokens = static_cast<int64_t>(prompts_[i].size());
        active_.push_back({i, prompts_[i], SequenceGenerator(options_.sampling.seed, i),
                           TextStream(&options_.stop_strings)});
      }
      Advance(static_cast<size_t>(first_row), Logits(unread, first_row));
      for (size_t i = first_row; i < active_.size(); ++i) room += active_[i].done ? 1 : 0;
    }
  }

  int64_t SharedInGroup(const std::vector<int32_t>& prompt, size_t begin) const {
    int64_t most = 0;
    for (size_t i = begin; i < next_prompt_; ++i) most = std::max(most, SharedPrefix(prompts_[i], prompt));
    return most;
  }

  // The row that holds the most of how a prompt begins, and how much. At least one token is left to be read.
  std::pair<int64_t, int64_t> BestPrefix(const std::vector<int32_t>& prompt) const {
    std::pair<int64_t, int64_t> best{0, 0};
    for (size_t row = 0; row < active_.size(); ++row) {
      const int64_t shared =
          std::min({SharedPrefix(active_[row].seen, prompt), cache_.length(static_cast<int64_t>(row)),
                    static_cast<int64_t>(prompt.size()) - 1});
      if (shared >= kWorthCopying && shared > best.second) best = {static_cast<int64_t>(row), shared};
    }
    return best;
  }

  // Appends tokens to rows first_row and up; logits [n, vocab] fp32 after the last of each.
  at::Tensor Logits(const std::vector<std::vector<int32_t>>& tokens, int64_t first_row) {
    std::vector<int64_t> last;
    int64_t total = 0;
    for (const auto& each : tokens) {
      total += static_cast<int64_t>(each.size());
      last.push_back(total - 1);
    }
    if (decoder_ && total <= Decoder::kFewTokens) return decoder_->Step(tokens, first_row, cache_);
    Batch batch = PackSequences(tokens, model_.device());
    batch.first_cache_row = first_row;
    return model_.Logits(model_.HiddenOf(last, batch, &cache_)).to(at::kFloat);
  }

  // One more token for every answer.
  void Decode() {
    std::vector<std::vector<int32_t>> tokens;
    for (const Sequence& sequence : active_) tokens.push_back({sequence.seen.back()});
    Advance(0, Logits(tokens, 0));
    DropFinished();
  }

  // From the back: a finished answer is replaced by the last one, which is not finished.
  void DropFinished() {
    for (size_t i = active_.size(); i-- > 0;) {
      if (!active_[i].done) continue;
      std::swap(active_[i], active_.back());
      active_.pop_back();
      cache_.DropRow(static_cast<int64_t>(i));
    }
  }

  // logits [n, vocab] fp32 of answers first..first+n-1, which are the last in active_.
  void Advance(size_t first, const at::Tensor& logits) {
    const std::vector<int32_t> chosen = Choose(first, logits);
    std::vector<GeneratedToken> details;
    if (options_.logprobs) details = Details(logits, chosen);
    for (size_t i = 0; i < chosen.size(); ++i) {
      Sequence& sequence = active_[first + i];
      sequence.done = !Accept(sequence, chosen[i], options_.logprobs ? &details[i] : nullptr);
      finished_ += sequence.done ? 1 : 0;
    }
  }

  std::vector<int32_t> Choose(size_t first, const at::Tensor& logits) {
    std::vector<int32_t> chosen;
    const SamplingOptions& sampling = options_.sampling;
    if (sampling.temperature == 0 && sampling.repetition_penalty == 1.0) {
      const at::Tensor best = logits.argmax(1).cpu();
      for (int64_t i = 0; i < best.size(0); ++i) {
        chosen.push_back(static_cast<int32_t>(best.const_data_ptr<int64_t>()[i]));
      }
      return chosen;
    }
    const at::Tensor host = logits.cpu().contiguous();
    std::vector<float> row(host.size(1));
    for (int64_t i = 0; i < host.size(0); ++i) {
      Sequence& sequence = active_[first + i];
      const float* begin = host.const_data_ptr<float>() + i * host.size(1);
      row.assign(begin, begin + host.size(1));
      ProcessLogits(row, sequence.seen, sampling);
      chosen.push_back(sampling.temperature == 0 ? ArgMax(row) : Draw(row, sequence.generator));
    }
    return chosen;
  }

  std::vector<GeneratedToken> Details(const at::Tensor& logits, const std::vector<int32_t>& chosen) const {
    const at::Tensor logprobs = logits.log_softmax(1).cpu();
    const int64_t top = std::min(options_.top_logprobs, logits.size(1));
    at::Tensor values, ids;
    if (top > 0) std::tie(values, ids) = logprobs.topk(top, 1);
    std::vector<GeneratedToken> details(chosen.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      details[i].logprob = logprobs.const_data_ptr<float>()[row * logprobs.size(1) + chosen[i]];
      for (int64_t j = 0; j < top; ++j) {
        details[i].top_logprobs.push_back({static_cast<int32_t>(ids.const_data_ptr<int64_t>()[row * top + j]),
                                           values.const_data_ptr<float>()[row * top + j]});
      }
    }
    return details;
  }

  // Takes a token into an answer; false when the answer is complete.
  bool Accept(Sequence& sequence, int32_t token, GeneratedToken* detail) {
    Generation& result = results_[sequence.index];
    const bool stop_token = std::ranges::find(stop_tokens_, token) != stop_tokens_.end();
    bool done = stop_token;
    if (stop_token) {
      result.finish = FinishReason::kStopToken;
    } else {
      sequence.seen.push_back(token);
      result.tokens.push_back(token);
      if (detail != nullptr) result.details.push_back(std::move(*detail));
      const bool stop_string = tokenizer_ != nullptr && !tokenizer_->IsSpecial(token) &&
                               sequence.stream.Append(tokenizer_->TokenBytes(token));
      if (stop_string) {
        result.finish = FinishReason::kStopString;
        done = true;
      } else if (static_cast<int64_t>(result.tokens.size()) >= options_.max_new_tokens) {
        result.finish = FinishReason::kLength;
        done = true;
      } else if (static_cast<int64_t>(sequence.seen.size()) >= model_.config().max_positions) {
        result.finish = FinishReason::kContext;
        done = true;
      }
    }
    if (done) sequence.stream.Finish();
    if (options_.on_token && !options_.on_token(sequence.index, token, sequence.stream.Take()) && !done) {
      result.finish = FinishReason::kCancelled;
      sequence.stream.Finish();
      done = true;
    }
    if (done) result.text = sequence.stream.text();
    return !done;
  }

  const CausalLM& model_;
  const text::Tokenizer* tokenizer_;
  const std::vector<std::vector<int32_t>>& prompts_;
  const GenerateOptions& options_;
  const std::vector<int32_t> stop_tokens_;
  KvCache cache_;
  std::optional<Decoder> decoder_;
  std::vector<Sequence> active_;  // active_[i] is row i of the cache
  size_t next_prompt_ = 0;
  size_t finished_ = 0;
  std::vector<Generation> results_;
};

Status Validate(const CausalLM& model, const text::Tokenizer* tokenizer,
                const std::vector<std::vector<int32_t>>& prompts, const GenerateOptions& options) {
  GF_CHECK_OK(ValidateSampling(options.sampling));
  if (options.max_new_tokens < 1) {
    return InvalidError("max_new_tokens is " + std::to_string(options.max_new_tokens) +
                        ", expected at least 1");
  }
  if (options.max_batch < 1) {
    return InvalidError("max_batch is " + std::to_string(options.max_batch) + ", expected at least 1");
  }
  if (!options.stop_strings.empty() && tokenizer == nullptr) {
    return InvalidError("stop strings need a tokenizer");
  }
  const ModelConfig& config = model.config();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::string name = "prompt " + std::to_string(i);
    GF_CHECK_OK(CheckTokens(config, name, prompts[i]));
    if (static_cast<int64_t>(prompts[i].size()) >= config.max_positions) {
      return InvalidError(name + " has " + std::to_string(prompts[i].size()) +
                              " tokens, which leaves no room for an answer in the model's context of " +
                              std::to_string(config.max_positions),
                          "shorten the prompt");
    }
  }
  return Ok();
}

}  // namespace

const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStopToken:
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kLength:
    case FinishReason::kContext:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<std::vector<Generation>> Generate(const CausalLM& model, const text::Tokenizer* tokenizer,
                                         const std::vector<std::vector<int32_t>>& prompts,
                                         const GenerateOptions& options) {
  GF_CHECK_OK(Validate(model, tokenizer, prompts, options));
  return Guarded("text generation", [&] {
    const c10::InferenceMode inference;
    return Generator(model, tokenizer, prompts, options).Run();
  });
}

}  // namespace genflow::nn
