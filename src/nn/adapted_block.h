// The two halves of a decoder layer with frozen weights and low-rank updates, each as one node of the graph.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/layers.h"

namespace genflow::nn {

// Whether the functions below compute the layer as it is now: its projections are in groups that hold, its
// norms are frozen, and there is no cache.
bool HasAdaptedBlocks(const DecoderLayer& layer, const AttentionContext& context);

// x + o_proj(attention(norm(x))) and x + mlp(norm(x)), x [N, hidden]. For the backward pass are kept: x, the
// projections of q, k, v after their rotation, attention's result and one number a row and head; x, gate and
// up. The rest is computed again from them. Gradients of the updates are added to theirs in place. The layer
// must outlive the graph.
at::Tensor AdaptedAttention(const DecoderLayer& layer, const at::Tensor& x, const AttentionContext& context);
at::Tensor AdaptedMlp(const DecoderLayer& layer, const at::Tensor& x, const AttentionContext& context);

}  // namespace genflow::nn
