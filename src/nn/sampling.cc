#include "nn/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace genflow::nn {
namespace {

constexpr float kRuledOut = -std::numeric_limits<float>::infinity();

std::string Number(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void ApplyRepetitionPenalty(std::span<float> logits, std::span<const int32_t> seen, double penalty) {
  const auto factor = static_cast<float>(penalty);
  std::vector<bool> done(logits.size());
  for (const int32_t token : seen) {
    if (token < 0 || static_cast<size_t>(token) >= logits.size() || done[token]) continue;
    done[token] = true;
    float& logit = logits[token];
    logit = logit < 0 ? logit * factor : logit / factor;
  }
}

// Tokens that tie with the k-th stay.
void ApplyTopK(std::span<float> logits, int64_t k) {
  if (k >= static_cast<int64_t>(logits.size())) return;
  std::vector<float> sorted(logits.begin(), logits.end());
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float smallest = sorted[k - 1];
  for (float& logit : logits) {
    if (logit < smallest) logit = kRuledOut;
  }
}

// Keeps the most probable tokens that together reach p: a token goes when it and all less probable ones
// together hold at most 1 - p. Among equals the lower index goes first.
void ApplyTopP(std::span<float> logits, double p) {
  std::vector<int32_t> order;
  float greatest = kRuledOut;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == kRuledOut) continue;
    order.push_back(static_cast<int32_t>(i));
    greatest = std::max(greatest, logits[i]);
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] < logits[b]; });
  std::vector<double> weights;
  double total = 0;
  for (const int32_t token : order) {
    weights.push_back(std::exp(static_cast<double>(logits[token]) - greatest));
    total += weights.back();
  }
  double held = 0;
  for (size_t i = 0; i + 1 < order.size(); ++i) {
    held += weights[i];
    if (held / total > 1.0 - p) break;
    logits[order[i]] = kRuledOut;
  }
}

}  // namespace

Status ValidateSampling(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature)) {
    return InvalidError("temperature is " + Number(options.temperature) + ", expected 0 (greedy) or more");
  }
  if (options.top_k < 0) {
    return InvalidError("top_k is " + Number(static_cast<double>(options.top_k)) +
                        ", expected 0 (off) or more");
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return InvalidError("top_p is " + Number(options.top_p) + ", expected more than 0 and at most 1 (off)");
  }
  if (!(options.repetition_penalty > 0) || std::isinf(options.repetition_penalty)) {
    return InvalidError("repetition_penalty is " + Number(options.repetition_penalty) +
                        ", expected more than 0 (1 is off)");
  }
  return Ok();
}

void ProcessLogits(std::span<float> logits, std::span<const int32_t> seen, const SamplingOptions& options) {
  if (options.repetition_penalty != 1.0) ApplyRepetitionPenalty(logits, seen, options.repetition_penalty);
  if (options.temperature == 0) return;
  if (options.temperature != 1.0) {
    const auto temperature = static_cast<float>(options.temperature);
    for (float& logit : logits) logit /= temperature;
  }
  if (options.top_k > 0) ApplyTopK(logits, options.top_k);
  if (options.top_p < 1.0) ApplyTopP(logits, options.top_p);
}

int32_t ArgMax(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

int32_t Draw(std::span<const float> logits, std::mt19937_64& generator) {
  const int32_t best = ArgMax(logits);
  const double greatest = logits[best];
  std::vector<double> cumulative(logits.size());
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    total += std::exp(logits[i] - greatest);
    cumulative[i] = total;
  }
  // 53 random bits: the same draw from every standard library, unlike std::uniform_real_distribution.
  const double target = static_cast<double>(generator() >> 11) * 0x1.0p-53 * total;
  const auto found = std::upper_bound(cumulative.begin(), cumulative.end(), target);
  return found == cumulative.end() ? best : static_cast<int32_t>(found - cumulative.begin());
}

std::mt19937_64 SequenceGenerator(uint64_t seed, uint64_t index) {
  std::seed_seq words{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                      static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)};
  return std::mt19937_64(words);
}

}  // namespace genflow::nn
