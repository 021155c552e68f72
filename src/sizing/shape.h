// The sizes of a decoder that decide what training it takes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow::formats {
class ModelSource;
}

namespace genflow::sizing {

// The seven projections of a layer, in the order of ModelShape::Projections().
inline constexpr size_t kProjections = 7;

struct Projection {
  const char* name;  // "self_attn.q_proj"
  int64_t in = 0, out = 0;
};

struct ModelShape {
  int64_t layers = 0, hidden = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  bool tied = false;             // the head is the embedding
  uint64_t parameters = 0;       // a tied head counted once
  std::string stored_type;       // "BF16", "Q4_1": what the file holds most weights in
  uint64_t tokenizer_bytes = 0;  // of tokenizer.json, or of a GGUF's vocabulary

  std::array<Projection, kProjections> Projections() const;  // q, k, v, o, gate, up, down
  int64_t queries() const { return heads * head_dim; }
  int64_t keys() const { return kv_heads * head_dim; }
  uint64_t layer_weights() const;  // of the seven projections of one layer
};

// Refuses a model of another architecture than Llama's, and sizes that do not fit together.
Result<ModelShape> ShapeOf(const formats::ModelSource& source);

// The rank of each projection's update, layer by layer; 0: none.
using Ranks = std::vector<std::array<int64_t, kProjections>>;
Ranks AllLinear(const ModelShape& shape, int64_t rank);

}  // namespace genflow::sizing
