// Text generation for many prompts at once. A prompt's answer does not depend on its neighbours.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nn/sampling.h"

namespace genflow::text {
class Tokenizer;
}

namespace genflow::nn {

class CausalLM;

struct TokenLogProb {
  int32_t id = 0;
  float logprob = 0;
};

struct GenerateOptions {
  int64_t max_new_tokens = 256;
  SamplingOptions sampling;
  // Each ends the answer and is not part of it. Unset: the end-of-text tokens of the model's config.
  std::optional<std::vector<int32_t>> stop_tokens;
  // End the answer where they begin; need a tokenizer.
  std::vector<std::string> stop_strings;
  int64_t max_batch = 16;         // sequences decoded at once
  int64_t prefill_tokens = 2048;  // prompt tokens in one forward pass, unless one prompt is longer
  bool logprobs = false;          // fills GeneratedToken data below
  int64_t top_logprobs = 0;       // alternatives for each token; needs logprobs
  // New text of prompt `index` that can no longer be part of a stop string, whole UTF-8 characters only;
  // one call a token, the stop token included, and the text may be empty. False stops this answer
  // (kCancelled).
  std::function<bool(size_t index, int32_t token, std::string_view text)> on_token;
  // Answers finished so far, called between steps; false stops everything with kInterrupted.
  std::function<bool(size_t finished, size_t total)> progress;
};

enum class FinishReason { kStopToken, kStopString, kLength, kContext, kCancelled };
// "stop", "stop", "length", "length", "cancelled", as OpenAI's API words it.
const char* FinishReasonName(FinishReason reason);

struct GeneratedToken {
  float logprob = 0;                       // under the model itself: before penalty, temperature and cuts
  std::vector<TokenLogProb> top_logprobs;  // most probable first
};

struct Generation {
  std::vector<int32_t> tokens;  // without the stop token; with those that spell a stop string
  std::string text;             // UTF-8, without special tokens and stop string
  FinishReason finish = FinishReason::kLength;
  int64_t prompt_tokens = 0;
  std::vector<GeneratedToken> details;  // one a token, when asked for
};

// One answer for each prompt, in order. `tokenizer` may be null: then there is no text. Refuses an empty
// prompt, a token outside the vocabulary, and a prompt that leaves no room in the model's context.
Result<std::vector<Generation>> Generate(const CausalLM& model, const text::Tokenizer* tokenizer,
                                         const std::vector<std::vector<int32_t>>& prompts,
                                         const GenerateOptions& options);

}  // namespace genflow::nn
