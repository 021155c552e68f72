// The stages of the eval plugin.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "genflow/plugin.hpp"
#include "stages/eval/common.h"

namespace genflow::stages {

struct EvalPerplexity {
  static constexpr const char* kName = "eval.perplexity";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "Perplexity on held-out examples, base and tuned model side by side.";

  ModelParams model;
  int64_t max_examples = 0, batch_tokens = 0;

  void Declare(Spec& spec);
  Outcome Run(Context& context);
};

struct EvalGenerate {
  static constexpr const char* kName = "eval.generate";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "Greedy answers to held-out questions against references, base and tuned model side by side.";

  ModelParams model;
  int64_t max_examples = 0, max_new_tokens = 0, batch = 0;
  std::vector<std::string> match;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);
};

struct EvalLogprobs {
  static constexpr const char* kName = "eval.logprobs";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "The most probable next tokens after held-out prompts, to compare runtimes.";

  ModelParams model;
  int64_t max_examples = 0, top_k = 0, max_new_tokens = 0;

  void Declare(Spec& spec);
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
