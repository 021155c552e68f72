// Causal self-attention with grouped keys and values, over rows, packed segments or a cache.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "nn/linear.h"
#include "nn/prefix_tree.h"
#include "nn/rope.h"

namespace genflow::nn {

class AdaptedGroup;
class KvCache;

// A run of equally long sequences that stand one behind the other in the flat token axis: attention
// handles it as one batch.
struct SegmentGroup {
  int64_t begin = 0;   // first token
  int64_t count = 1;   // sequences
  int64_t length = 0;  // tokens in each
};

// What every layer of one forward pass shares. Activations are [N, ...]: N tokens of all sequences, flat.
struct AttentionContext {
  Rope::Angles angles;               // at each token's position
  std::vector<SegmentGroup> groups;  // cover the N tokens in order; tokens see only their own sequence
  std::vector<int64_t> bounds;       // where sequences begin: 0 ... N
  // The sequences, where some continue others; empty: none does. Without a cache, and without autograd.
  std::vector<PrefixSegment> segments;
  // With a cache, sequence i is its row first_cache_row + i.
  KvCache* cache = nullptr;
  int64_t first_cache_row = 0;
  // With a cache and one token in each of n sequences: attention over the first decode_length cached tokens,
  // with an additive mask [n, 1, 1, decode_length], undefined where all sequences are that long.
  int64_t decode_length = 0;
  at::Tensor decode_mask;
  uint64_t dropout_seed = 0;
};

struct Attention {
  Linear q_proj;  // [heads * head_dim, hidden]
  Linear k_proj;  // [kv_heads * head_dim, hidden]
  Linear v_proj;  // [kv_heads * head_dim, hidden]
  Linear o_proj;  // [hidden, heads * head_dim]
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  // q, k, v and o with the updates that are being trained; null without any.
  std::shared_ptr<AdaptedGroup> qkv_group, o_group;

  // x [N, hidden] -> what o_proj is to be given, [N, heads * head_dim]. `layer` is the index in the cache.
  at::Tensor Attend(const at::Tensor& x, const AttentionContext& context, int64_t layer) const;
};

}  // namespace genflow::nn
