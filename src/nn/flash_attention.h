// Causal attention of flat sequences on the CPU, in blocks that stay in the cache (FlashAttention-2, Dao
// 2023).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "nn/prefix_tree.h"

namespace genflow::nn {

// Whether the functions below compute it for tensors like `x`: on the CPU, in fp32 or bf16, with an even
// head_dim of at most 256.
bool HasFlashAttention(const at::Tensor& x, int64_t head_dim);

// q and out [N, heads, head_dim], k and v [N, kv_heads, head_dim], of one type; tokens may stand apart from
// each other, the heads of a token are dense. bounds: 0 = s0 < s1 < ... = N, where sequences begin; a token
// sees its own up to itself. Scores are scaled by 1 / sqrt(head_dim). lse [heads, N] fp32, may be undefined:
// log of the sum of the exponentials of each row, for the backward pass. Products accumulate in fp32; of
// bf16, the weights are rounded to bf16 before they multiply v, as in libtorch.
void FlashAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    std::span<const int64_t> bounds, const at::Tensor& out, const at::Tensor& lse);

// The same where sequence s is segments[s], which sees what it continues. Without a backward pass.
void FlashAttentionTree(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        std::span<const int64_t> bounds, std::span<const PrefixSegment> segments,
                        const at::Tensor& out);

// The gradients dq, dk, dv, like q, k, v, from that of out. Equal bytes on every number of threads.
void FlashAttentionBackward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& out, const at::Tensor& lse, const at::Tensor& dout,
                            std::span<const int64_t> bounds, const at::Tensor& dq, const at::Tensor& dk,
                            const at::Tensor& dv);

}  // namespace genflow::nn
