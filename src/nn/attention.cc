#include "nn/attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <limits>

#include "nn/flash_attention.h"
#include "nn/kv_cache.h"

namespace genflow::nn {
namespace {

// q [B, heads, T, head_dim], k and v [B, kv_heads, L, head_dim] -> [B, T, heads * head_dim].
at::Tensor AttendOver(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask,
                      bool causal) {
  const std::optional<at::Tensor> bias = mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
  const bool grouped = q.size(1) != k.size(1);
  const at::Tensor out = at::scaled_dot_product_attention(q, k, v, bias, /*dropout_p=*/0.0, causal,
                                                          /*scale=*/std::nullopt, /*enable_gqa=*/grouped);
  return out.transpose(1, 2).reshape({q.size(0), q.size(2), q.size(1) * q.size(3)});
}

// [count * length, heads, head_dim] -> [count, heads, length, head_dim].
at::Tensor BySequence(const at::Tensor& x, const SegmentGroup& group) {
  return x.view({group.count, group.length, x.size(1), x.size(2)}).transpose(1, 2);
}

// Token t of `count` new ones, behind `past` others, sees 0..past+t: additive [1, 1, count, past + count].
at::Tensor ContinuationMask(int64_t past, int64_t count, const at::TensorOptions& options) {
  const at::Tensor hidden = at::full({count, past + count}, -std::numeric_limits<float>::infinity(), options);
  return at::triu(hidden, past + 1).unsqueeze(0).unsqueeze(0);
}

// Attends over all that the cache rows of a group hold, the group's own tokens among it.
at::Tensor AttendCached(const at::Tensor& q, const SegmentGroup& group, int64_t first_row, KvCache& cache,
                        int64_t layer) {
  std::vector<at::Tensor> outs;
  for (int64_t i = 0; i < group.count; ++i) {
    const int64_t row = first_row + i;
    const int64_t past = cache.length(row);
    const SegmentGroup one{0, 1, group.length};
    outs.push_back(AttendOver(BySequence(q.narrow(0, i * group.length, group.length), one),
                              cache.keys(layer).narrow(0, row, 1).narrow(2, 0, past + group.length),
                              cache.values(layer).narrow(0, row, 1).narrow(2, 0, past + group.length),
                              ContinuationMask(past, group.length, q.options()), /*causal=*/false));
  }
  return at::cat(outs, 1).flatten(0, 1);
}

// q [N, heads, head_dim], k and v [N, kv_heads, head_dim] -> [N, heads * head_dim], where sequences continue
// others.
at::Tensor AttendTree(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                      const AttentionContext& context) {
  std::vector<at::Tensor> outs;
  for (size_t s = 0; s + 1 < context.bounds.size(); ++s) {
    const TokenRange own{context.bounds[s], context.bounds[s + 1]};
    const auto gather = [&](const at::Tensor& x) {
      std::vector<at::Tensor> parts;
      for (const TokenRange& range : context.segments[s].prefix)
        parts.push_back(x.narrow(0, range.begin, range.end - range.begin));
      parts.push_back(x.narrow(0, own.begin, own.end - own.begin));
      return at::cat(parts, 0);
    };
    const at::Tensor keys = gather(k), values = gather(v);
    const int64_t length = own.end - own.begin;
    const SegmentGroup queries{0, 1, length}, all{0, 1, keys.size(0)};
    outs.push_back(AttendOver(BySequence(q.narrow(0, own.begin, length), queries), BySequence(keys, all),
                              BySequence(values, all),
                              ContinuationMask(keys.size(0) - length, length, q.options()), /*causal=*/false)
                       .flatten(0, 1));
  }
  return at::cat(outs, 0);
}

// Whether the tokens of this pass see each other alone: nothing that the cache held before.
bool IsFresh(const AttentionContext& context) {
  if (context.cache == nullptr) return true;
  for (size_t i = 0; i + 1 < context.bounds.size(); ++i) {
    if (context.cache->length(context.first_cache_row + static_cast<int64_t>(i)) > 0) return false;
  }
  return true;
}

// Whether one call attends over all sequences: on the CPU, where nothing is recorded.
bool AttendsAtOnce(const at::Tensor& q, const AttentionContext& context, int64_t head_dim) {
  return HasFlashAttention(q, head_dim) && !(at::GradMode::is_enabled() && q.requires_grad()) &&
         IsFresh(context);
}

}  // namespace

at::Tensor Attention::Attend(const at::Tensor& x, const AttentionContext& context, int64_t layer) const {
  const int64_t n = x.size(0);
  const std::vector<at::Tensor> projected = ForwardEach(x, {&q_proj, &k_proj, &v_proj});
  const at::Tensor q = ApplyRopeTo(projected[0].view({n, num_heads, head_dim}), context.angles);
  const at::Tensor k = ApplyRopeTo(projected[1].view({n, num_kv_heads, head_dim}), context.angles);
  const at::Tensor v = projected[2].view({n, num_kv_heads, head_dim});

  if (context.decode_length > 0) {
    KvCache& cache = *context.cache;
    cache.WriteOneEach(layer, k, v);
    const int64_t length = context.decode_length;
    const at::Tensor out =
        AttendOver(q.unsqueeze(2),  // [n, heads, 1, head_dim]
                   cache.keys(layer).narrow(0, context.first_cache_row, n).narrow(2, 0, length),
                   cache.values(layer).narrow(0, context.first_cache_row, n).narrow(2, 0, length),
                   context.decode_mask, /*causal=*/false);
    return out.flatten(0, 1);
  }

  if (context.cache != nullptr) {
    for (size_t i = 0; i + 1 < context.bounds.size(); ++i) {
      const int64_t begin = context.bounds[i], count = context.bounds[i + 1] - begin;
      context.cache->Write(layer, context.first_cache_row + static_cast<int64_t>(i),
                           k.narrow(0, begin, count), v.narrow(0, begin, count));
    }
  }
  if (AttendsAtOnce(q, context, head_dim)) {
    const at::Tensor out = at::empty_like(q);
    if (context.segments.empty()) {
      FlashAttention(q, k, v, context.bounds, out, {});
    } else {
      FlashAttentionTree(q, k, v, context.bounds, context.segments, out);
    }
    return out.flatten(1);
  }
  if (!context.segments.empty()) return AttendTree(q, k, v, context);

  // Splitting once, and not slicing per group, keeps the backward pass linear in the number of groups.
  std::vector<int64_t> sizes;
  for (const SegmentGroup& group : context.groups) sizes.push_back(group.count * group.length);
  const auto qs = q.split_with_sizes(sizes);
  const auto ks = k.split_with_sizes(sizes);
  const auto vs = v.split_with_sizes(sizes);
  std::vector<at::Tensor> outs;  // [tokens of the group, heads * head_dim]
  int64_t row = context.first_cache_row;
  for (size_t i = 0; i < context.groups.size(); ++i) {
    const SegmentGroup& group = context.groups[i];
    if (!IsFresh(context)) {
      outs.push_back(AttendCached(qs[i], group, row, *context.cache, layer));
    } else {
      outs.push_back(AttendOver(BySequence(qs[i], group), BySequence(ks[i], group), BySequence(vs[i], group),
                                {},
                                /*causal=*/true)
                         .flatten(0, 1));
    }
    row += group.count;
  }
  return outs.size() == 1 ? outs[0] : at::cat(outs, 0);
}

}  // namespace genflow::nn
