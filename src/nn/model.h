// A decoder-only language model: modules with their tensors, built from a config, filled from a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nn/config.h"
#include "nn/kv_cache.h"
#include "nn/layers.h"
#include "nn/prefix_tree.h"
#include "nn/rope.h"

namespace genflow::formats {
class ModelSource;
}

namespace genflow::nn {

// Tokens of one forward pass.
struct Batch {
  at::Tensor input_ids;  // [B, T] int64, on any device
  // [B, T] int64. Undefined: counted from 0 in each sequence, or from what the cache holds of it.
  at::Tensor position_ids;
  // Empty: each of the B rows is one sequence. Rows may be padded on the right: a pad
  // never changes the tokens before it, and what stands at pads is to be ignored.
  // Packed layout: bounds of the sequences in the B*T tokens read row after row: 0 = s0 < s1 < ... = B*T.
  // A token sees only its own sequence.
  std::vector<int64_t> cu_seqlens;
  // With cu_seqlens: the same sequences, where some continue others, and see what they continue. Empty: none
  // does. Without a cache, and without autograd.
  std::vector<PrefixSegment> segments;
  // With a cache: sequence i is row first_cache_row + i.
  int64_t first_cache_row = 0;
  // Decides what dropout and noise draw.
  uint64_t dropout_seed = 0;
  // NEFTune (Jain et al. 2023): the embeddings of a sequence of L tokens get noise, uniform in +-alpha /
  // sqrt(L hidden). 0: none.
  double neftune_noise_alpha = 0;
  // Called with the input [N, hidden] of each layer before it runs. May be empty.
  std::function<void(const at::Tensor& x, int64_t layer)> on_layer_input;
};

// One packed row [1, N] of all sequences, none of them empty, without padding.
Batch PackSequences(std::span<const std::vector<int32_t>> sequences, at::Device device);
// The same of sequences that begin alike.
Batch PackTree(const PrefixTree& tree, at::Device device);

// Where a weight stands in a model.
struct WeightSlot {
  std::string name;    // Hugging Face's: "model.layers.0.self_attn.q_proj.weight"
  at::Tensor* tensor;  // undefined where the weight is quantised, and of a head that is tied
  std::shared_ptr<const QuantizedWeight>* quantized;  // null where it cannot be

  Matrix matrix() const { return {*tensor, quantized != nullptr ? *quantized : nullptr}; }
};

class CausalLM {
 public:
  // Hidden states after the last norm, [B, T, hidden]. Records for autograd where a LoRA tensor or weight
  // requires a gradient and grad mode is on. With a cache: call under c10::InferenceMode; the batch's
  // tokens are appended to it. Throws c10::Error.
  at::Tensor Hidden(const Batch& batch, KvCache* cache = nullptr) const;
  // Those of some of the B*T tokens alone, [n, hidden]: the last layer computes nothing else.
  at::Tensor HiddenOf(const std::vector<int64_t>& tokens, const Batch& batch, KvCache* cache = nullptr) const;
  // hidden [..., hidden] -> [..., vocab] in the model's type.
  at::Tensor Logits(const at::Tensor& hidden) const;

  // The steps of Hidden, for recipes that run the layers themselves (gradient checkpointing).
  AttentionContext MakeContext(const Batch& batch, KvCache* cache = nullptr) const;
  at::Tensor Embed(const Batch& batch) const;  // [B*T, hidden]
  // ids [N] int64 -> [N, hidden].
  at::Tensor EmbedTokens(const at::Tensor& ids) const;

  // Projections of the decoder layers under PEFT's names ("model.layers.0.self_attn.q_proj"), in the
  // model's order. The head is not among them, as in PEFT's "all-linear".
  void ForEachLinear(const std::function<void(const std::string& name, Linear& linear)>& visitor);
  // The places of all weights in the model's order, that of a tied head among them. LoRA tensors have none.
  std::vector<WeightSlot> WeightSlots();
  // Those that hold a tensor: all but quantised weights; a tied head is not repeated.
  std::vector<std::pair<std::string, at::Tensor*>> NamedWeights();
  // Switches dropout of all LoRA slots.
  void SetTraining(bool training);

  KvCache MakeCache() const;
  const ModelConfig& config() const { return config_; }
  const Rope& rope() const { return rope_; }
  // What it computes in, and where.
  at::ScalarType dtype() const { return dtype_; }
  at::Device device() const { return device_; }
  // Activations from here on; weights of other types are rounded where they are used.
  void ComputeIn(at::ScalarType dtype);
  int64_t NumParameters() const;
  // Bytes of its weights, those in a mapped file included.
  int64_t WeightBytes() const;
  // [vocab, hidden]; the embedding itself when tied. As a tensor undefined where it is quantised.
  Matrix head() const;
  const at::Tensor& head_weight() const { return lm_head.defined() ? lm_head : embed_tokens; }

  at::Tensor embed_tokens;  // [vocab, hidden], undefined where it is quantised
  std::shared_ptr<const QuantizedWeight> quantized_embed_tokens;
  std::vector<DecoderLayer> layers;
  RmsNorm norm;
  at::Tensor lm_head;  // [vocab, hidden]; undefined when tied to the embedding, or quantised
  std::shared_ptr<const QuantizedWeight> quantized_lm_head;

 private:
  friend Result<std::shared_ptr<CausalLM>> BuildShape(const ModelConfig& config, at::ScalarType dtype,
                                                      at::Device device, at::Device tensors);
  // [n, hidden] of the tokens `wanted` [n]; undefined: of all.
  at::Tensor HiddenRows(const Batch& batch, KvCache* cache, const at::Tensor& wanted) const;

  CausalLM(ModelConfig config, Rope rope, at::ScalarType dtype, at::Device device)
      : config_(std::move(config)), rope_(std::move(rope)), dtype_(dtype), device_(device) {}

  ModelConfig config_;
  Rope rope_;
  at::ScalarType dtype_;
  at::Device device_;
};

// A model of the config's family with uninitialised weights that require no gradient.
Result<std::shared_ptr<CausalLM>> BuildCausalLM(const ModelConfig& config, at::ScalarType dtype,
                                                at::Device device);

struct LoadOptions {
  at::ScalarType dtype = at::kFloat;  // of what is computed, and of weights in memory that are not quantised
  at::Device device = at::kCPU;
  Quantization quantization = Quantization::kNone;  // kGguf wants a GGUF
  // Nothing is ever written to the weights. On the CPU those that the file holds in `dtype` then stay in its
  // map, without a copy, and live as long as the model.
  bool read_only = false;
  // Tensors read so far; false stops with kInterrupted. May be empty.
  std::function<bool(int64_t done, int64_t total)> progress;
};

// Reads the config and every weight, one at a time. Refuses a missing, extra or misshapen tensor by name.
Result<std::shared_ptr<CausalLM>> LoadCausalLM(const formats::ModelSource& source,
                                               const LoadOptions& options);

}  // namespace genflow::nn
