// A forward pass over a few tokens, as decoding wants it: no tensor is made, each weight is read once, all
// threads stay in one parallel region. Activations are fp32 throughout; weights are multiplied as they stand.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace genflow::nn {

class CausalLM;
class KvCache;

class Decoder {
 public:
  // Whether the model can be run so: on the CPU, in fp32, bf16 or GGML's quantisations (PackedTypeOf),
  // without
  // DoRA.
  static bool Supports(const CausalLM& model);
  // Few tokens are faster here, many in CausalLM::Hidden.
  static constexpr int64_t kFewTokens = 32;

  // Reads the model's weights and updates where they stand, which must stay there.
  explicit Decoder(const CausalLM& model);
  ~Decoder();

  // Appends the tokens of sequence i, at least one, to the cache's row first_row + i and returns the logits
  // [sequences, vocab] fp32 after the last token of each. Call under c10::InferenceMode.
  at::Tensor Step(const std::vector<std::vector<int32_t>>& sequences, int64_t first_row, KvCache& cache);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace genflow::nn
