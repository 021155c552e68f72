// From logits to the next token, with the meaning of Hugging Face's logits processors. Torch-free.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::nn {

struct SamplingOptions {
  double temperature = 0.0;         // 0 is greedy
  int64_t top_k = 0;                // 0 is off
  double top_p = 1.0;               // 1 is off
  double repetition_penalty = 1.0;  // 1 is off; counts prompt and answer; acts on greedy too
  uint64_t seed = 0;
};

// Refuses values out of range, naming the option.
Status ValidateSampling(const SamplingOptions& options);

// Applies the penalty, temperature, top-k and top-p in place; what is ruled out becomes -infinity.
// `seen` are the tokens of prompt and answer, repeats allowed. With temperature 0 only the penalty acts.
void ProcessLogits(std::span<float> logits, std::span<const int32_t> seen, const SamplingOptions& options);

// Index of the greatest logit; the first of equals.
int32_t ArgMax(std::span<const float> logits);
// Draws from softmax(logits); entries of -infinity are never drawn.
int32_t Draw(std::span<const float> logits, std::mt19937_64& generator);

// The generator of sequence `index`: it does not depend on which sequences run beside it.
std::mt19937_64 SequenceGenerator(uint64_t seed, uint64_t index);

}  // namespace genflow::nn
