#include "nn/model.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nn/guarded.h"
#include "nn/registry.h"

namespace genflow::nn {
namespace {

// Lengths of the sequences in a batch, in order.
std::vector<int64_t> SequenceLengths(const Batch& batch) {
  const int64_t rows = batch.input_ids.size(0);
  const int64_t columns = batch.input_ids.size(1);
  const auto& bounds = batch.cu_seqlens;
  if (bounds.empty()) return std::vector<int64_t>(rows, columns);
  TORCH_CHECK(bounds.size() >= 2 && bounds.front() == 0 && bounds.back() == rows * columns,
              "cu_seqlens must run from 0 to the number of tokens");
  std::vector<int64_t> lengths;
  for (size_t i = 1; i < bounds.size(); ++i) {
    TORCH_CHECK(bounds[i] > bounds[i - 1], "cu_seqlens must ascend");
    lengths.push_back(bounds[i] - bounds[i - 1]);
  }
  return lengths;
}

std::vector<SegmentGroup> GroupByLength(const std::vector<int64_t>& lengths) {
  std::vector<SegmentGroup> groups;
  int64_t begin = 0;
  for (const int64_t length : lengths) {
    if (!groups.empty() && groups.back().length == length) {
      ++groups.back().count;
    } else {
      groups.push_back({begin, 1, length});
    }
    begin += length;
  }
  return groups;
}

template <class Visit>
void VisitLinears(DecoderLayer& layer, const Visit& visit) {
  visit("self_attn.q_proj", layer.self_attn.q_proj);
  visit("self_attn.k_proj", layer.self_attn.k_proj);
  visit("self_attn.v_proj", layer.self_attn.v_proj);
  visit("self_attn.o_proj", layer.self_attn.o_proj);
  visit("mlp.gate_proj", layer.mlp.gate_proj);
  visit("mlp.up_proj", layer.mlp.up_proj);
  visit("mlp.down_proj", layer.mlp.down_proj);
}

std::string LayerPrefix(size_t index) { return "model.layers." + std::to_string(index) + "."; }

}  // namespace

Batch PackSequences(std::span<const std::vector<int32_t>> sequences, at::Device device) {
  Batch batch;
  batch.cu_seqlens.push_back(0);
  std::vector<int64_t> ids;
  for (const auto& sequence : sequences) {
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    batch.cu_seqlens.push_back(static_cast<int64_t>(ids.size()));
  }
  batch.input_ids = at::tensor(ids, at::kLong).unsqueeze(0).to(device);
  return batch;
}

Batch PackTree(const PrefixTree& tree, at::Device device) {
  Batch batch;
  batch.cu_seqlens.push_back(0);
  for (const PrefixSegment& segment : tree.segments()) batch.cu_seqlens.push_back(segment.tokens.end);
  batch.segments = tree.segments();
  const std::vector<int64_t> ids(tree.tokens().begin(), tree.tokens().end());
  batch.input_ids = at::tensor(ids, at::kLong).unsqueeze(0).to(device);
  return batch;
}

AttentionContext CausalLM::MakeContext(const Batch& batch, KvCache* cache) const {
  const std::vector<int64_t> lengths = SequenceLengths(batch);
  AttentionContext context;
  context.groups = GroupByLength(lengths);
  context.bounds.push_back(0);
  for (const int64_t length : lengths) context.bounds.push_back(context.bounds.back() + length);
  context.cache = cache;
  context.dropout_seed = batch.dropout_seed;
  context.first_cache_row = batch.first_cache_row;
  context.segments = batch.segments;

  at::Tensor positions = batch.position_ids;
  if (!positions.defined()) {
    std::vector<int64_t> counted;
    counted.reserve(batch.input_ids.numel());
    for (size_t i = 0; i < lengths.size(); ++i) {
      int64_t past = cache == nullptr ? 0 : cache->length(batch.first_cache_row + static_cast<int64_t>(i));
      if (!batch.segments.empty()) past = batch.segments[i].position;
      for (int64_t t = 0; t < lengths[i]; ++t) counted.push_back(past + t);
    }
    positions = at::tensor(counted, at::kLong).to(device());
  }
  context.angles = rope_.At(positions.flatten().to(device()));
  if (cache == nullptr) return context;

  cache->Reserve(batch.first_cache_row, lengths);
  const bool decode = context.groups.size() == 1 && context.groups[0].length == 1;
  if (!decode) return context;
  std::vector<int64_t> held;
  for (size_t i = 0; i < lengths.size(); ++i) {
    held.push_back(cache->length(batch.first_cache_row + static_cast<int64_t>(i)) + 1);
  }
  context.decode_length = *std::max_element(held.begin(), held.end());
  if (*std::min_element(held.begin(), held.end()) != context.decode_length) {
    const at::Tensor ends = at::tensor(held, at::kLong).to(device()).unsqueeze(1);              // [n, 1]
    const at::Tensor columns = at::arange(context.decode_length, ends.options()).unsqueeze(0);  // [1, L]
    const at::Tensor zeros = at::zeros({1}, at::TensorOptions().dtype(dtype()).device(device()));
    context.decode_mask = at::where(columns < ends, zeros, zeros - std::numeric_limits<float>::infinity())
                              .unsqueeze(1)
                              .unsqueeze(1);  // [n, 1, 1, L]
  }
  return context;
}

at::Tensor CausalLM::EmbedTokens(const at::Tensor& ids) const {
  return quantized_embed_tokens ? quantized_embed_tokens->DequantizeRows(ids, dtype())
                                : at::embedding(embed_tokens, ids).to(dtype());
}

at::Tensor CausalLM::Embed(const Batch& batch) const {
  at::Tensor x = EmbedTokens(batch.input_ids.flatten().to(device()));
  if (batch.neftune_noise_alpha == 0) return x;
  auto generator = at::detail::createCPUGenerator(batch.dropout_seed);
  const at::Tensor noise = at::empty(x.sizes(), at::kFloat).uniform_(-1, 1, generator);
  int64_t begin = 0;
  for (const int64_t length : SequenceLengths(batch)) {
    noise.narrow(0, begin, length)
        .mul_(batch.neftune_noise_alpha / std::sqrt(static_cast<double>(length * x.size(1))));
    begin += length;
  }
  return x + noise.to(x.options());
}

at::Tensor CausalLM::Hidden(const Batch& batch, KvCache* cache) const {
  const at::Tensor x = HiddenRows(batch, cache, {});
  return x.view({batch.input_ids.size(0), batch.input_ids.size(1), x.size(1)});
}

at::Tensor CausalLM::HiddenOf(const std::vector<int64_t>& tokens, const Batch& batch, KvCache* cache) const {
  return HiddenRows(batch, cache, at::tensor(tokens, at::kLong).to(device()));
}

at::Tensor CausalLM::HiddenRows(const Batch& batch, KvCache* cache, const at::Tensor& wanted) const {
  const AttentionContext context = MakeContext(batch, cache);
  at::Tensor x = Embed(batch);  // [N, hidden]
  for (size_t i = 0; i < layers.size(); ++i) {
    if (batch.on_layer_input) batch.on_layer_input(x, static_cast<int64_t>(i));
    const bool last = i + 1 == layers.size();
    x = layers[i].Forward(x, context, static_cast<int64_t>(i), last ? wanted : at::Tensor());
  }
  x = norm.Forward(x);
  if (cache != nullptr) cache->Commit();
  return x;
}

Matrix CausalLM::head() const {
  if (lm_head.defined() || quantized_lm_head) return {lm_head, quantized_lm_head};
  return {embed_tokens, quantized_embed_tokens};
}

at::Tensor CausalLM::Logits(const at::Tensor& hidden) const { return Project(hidden, head()); }

void CausalLM::ForEachLinear(const std::function<void(const std::string&, Linear&)>& visitor) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string prefix = LayerPrefix(i);
    VisitLinears(layers[i], [&](const char* name, Linear& linear) { visitor(prefix + name, linear); });
  }
}

std::vector<WeightSlot> CausalLM::WeightSlots() {
  std::vector<WeightSlot> slots;
  slots.push_back({"model.embed_tokens.weight", &embed_tokens, &quantized_embed_tokens});
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string prefix = LayerPrefix(i);
    VisitLinears(layers[i], [&](const char* name, Linear& linear) {
      slots.push_back({prefix + name + ".weight", &linear.weight, &linear.quantized});
      if (linear.bias.defined()) slots.push_back({prefix + name + ".bias", &linear.bias, nullptr});
    });
    slots.push_back({prefix + "input_layernorm.weight", &layers[i].input_layernorm.weight, nullptr});
    slots.push_back(
        {prefix + "post_attention_layernorm.weight", &layers[i].post_attention_layernorm.weight, nullptr});
  }
  slots.push_back({"model.norm.weight", &norm.weight, nullptr});
  slots.push_back({"lm_head.weight", &lm_head, &quantized_lm_head});
  return slots;
}

std::vector<std::pair<std::string, at::Tensor*>> CausalLM::NamedWeights() {
  std::vector<std::pair<std::string, at::Tensor*>> weights;
  for (const WeightSlot& slot : WeightSlots()) {
    if (slot.tensor->defined()) weights.emplace_back(slot.name, slot.tensor);
  }
  return weights;
}

void CausalLM::SetTraining(bool training) {
  ForEachLinear([&](const std::string&, Linear& linear) {
    if (linear.lora) linear.lora->training = training;
  });
}

KvCache CausalLM::MakeCache() const {
  return KvCache(config_.num_layers, config_.num_kv_heads, config_.head_dim, dtype(), device());
}

void CausalLM::ComputeIn(at::ScalarType dtype) { dtype_ = dtype; }

int64_t CausalLM::NumParameters() const {
  int64_t count = 0;
  for (const WeightSlot& slot : const_cast<CausalLM*>(this)->WeightSlots()) {
    const Matrix matrix = slot.matrix();
    if (matrix.defined()) count += matrix.numel();
  }
  return count;
}

int64_t CausalLM::WeightBytes() const {
  int64_t bytes = 0;
  for (const WeightSlot& slot : const_cast<CausalLM*>(this)->WeightSlots()) {
    const Matrix matrix = slot.matrix();
    if (!matrix.defined()) continue;
    bytes += matrix.quantized ? matrix.quantized->bytes() : static_cast<int64_t>(slot.tensor->nbytes());
  }
  return bytes;
}

Result<std::shared_ptr<CausalLM>> BuildShape(const ModelConfig& config, at::ScalarType dtype,
                                             at::Device device, at::Device tensors) {
  for (const Family& family : Families()) {
    if (family.architecture != config.architecture) continue;
    return Guarded("building the model", [&]() -> Result<std::shared_ptr<CausalLM>> {
      Rope rope(config.head_dim, config.rope_theta, config.rope_scaling, device);
      std::shared_ptr<CausalLM> model(new CausalLM(config, std::move(rope), dtype, device));
      family.build(config, at::TensorOptions().dtype(dtype).device(tensors), *model);
      return model;
    });
  }
  return MakeError(Code::kInternal, "no builder for architecture '" + config.architecture + "'");
}

Result<std::shared_ptr<CausalLM>> BuildCausalLM(const ModelConfig& config, at::ScalarType dtype,
                                                at::Device device) {
  return BuildShape(config, dtype, device, device);
}

}  // namespace genflow::nn
