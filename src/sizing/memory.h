// How much memory a training takes at its peak, part by part, and how much it computes for a token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sizing/shape.h"

namespace genflow::sizing {

enum class Method { kLora, kQlora, kFull };  // a frozen base in `dtype`, one in NF4, all weights
std::optional<Method> MethodFromName(std::string_view name);
const char* MethodName(Method method);

enum class Optimizer { kAdamW, kAdamW8bit, kAdafactor };
std::optional<Optimizer> OptimizerFromName(std::string_view name);  // transformers' names, as train.lora's

struct Job {
  Method method = Method::kLora;
  bool bf16 = true;  // else fp32
  Optimizer optimizer = Optimizer::kAdamW;
  int64_t batch = 4;          // rows in a forward pass
  int64_t max_length = 1024;  // tokens of a row
  bool gradient_checkpointing = false;
  Ranks ranks;  // of each layer; not for kFull
  bool on_gpu = false;
  int threads = 1;
  uint64_t data_tokens = 0;  // of the encoded examples
  int64_t tokens() const { return batch * max_length; }
};

// Bytes. Resident memory of the worker on the CPU; on a GPU its memory.
struct Memory {
  uint64_t weights = 0;  // the model, as it is multiplied
  uint64_t adapter = 0;  // A and B in fp32
  uint64_t gradients = 0;
  uint64_t optimizer = 0;    // its states
  uint64_t activations = 0;  // what the forward pass keeps for the backward pass
  uint64_t logits = 0;       // the loss and its gradient, a chunk at a time
  uint64_t workspace = 0;    // what is needed in passing: gradients of activations, libraries' buffers
  uint64_t base = 0;         // the process: libraries, tokenizer, data
  uint64_t mapped = 0;       // pages of the model's file
  uint64_t total() const;
  // In this order, with the words that people read.
  std::vector<std::pair<const char*, uint64_t>> Parts() const;
};

Memory PredictMemory(const ModelShape& shape, const Job& job);

// Floating-point operations for one token, forward and backward.
double FlopPerToken(const ModelShape& shape, const Job& job);
// Trained numbers.
uint64_t TrainedParameters(const ModelShape& shape, const Job& job);

}  // namespace genflow::sizing
