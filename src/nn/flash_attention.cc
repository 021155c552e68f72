#include "nn/flash_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <type_traits>
#include <vector>

#include "nn/attention_kernels.h"
#include "nn/brgemm.h"
#include "nn/scratch.h"

namespace genflow::nn {
namespace {

using c10::BFloat16;
using kernels::kBlock;

constexpr float kLowest = -1e30f;
constexpr int64_t kUpperRows = 64;  // of a block on the diagonal

// Rows of one head: token t's head_dim values stand at data + t * stride.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  Rows From(int64_t token) const { return {data + token * stride, stride}; }
};

template <class T>
Rows<T> HeadOf(const at::Tensor& x, int64_t head) {
  return {static_cast<T*>(x.data_ptr()) + head * x.stride(1), x.stride(0)};
}

int64_t Blocks(int64_t length) { return (length + kBlock - 1) / kBlock; }
int64_t RowsIn(int64_t length, int64_t block) { return std::min(kBlock, length - block * kBlock); }
int64_t Padded(int64_t rows) { return (rows + 15) / 16 * 16; }

// S is what tensors hold, C what is multiplied.
template <class S, class C>
class Worker {
 public:
  explicit Worker(int64_t dim)
      : dim_(dim), scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(dim)))) {}

  // k and v hold `past` tokens before those of q, which are `length`. What is held of them from the call
  // before, where they begin at the same place, is used again, unless Forget came between.
  void Forward(Rows<const S> q, Rows<const S> k, Rows<const S> v, Rows<S> out, float* lse, int64_t length,
               int64_t past = 0) {
    const int64_t blocks = Blocks(length), seen = past + length, key_blocks = Blocks(seen),
                  tile = kBlock * dim_;
    C* const keys = a_.At(static_cast<size_t>(key_blocks * tile));    // [dim, kBlock] each
    C* const values = b_.At(static_cast<size_t>(key_blocks * tile));  // [kBlock, dim] each
    if (held_keys_ != k.data || held_values_ != v.data || held_ < seen) {
      for (int64_t j = 0; j < key_blocks; ++j) {
        const int64_t rows = RowsIn(seen, j);
        kernels::PackRightTransposed(k.From(j * kBlock).data, k.stride, rows, Padded(rows), dim_,
                                     keys + j * tile);
        kernels::PackRight(v.From(j * kBlock).data, v.stride, rows, Padded(rows), dim_, values + j * tile);
      }
      held_keys_ = k.data;
      held_values_ = v.data;
      held_ = seen;
    }
    C* const query = c_.At(static_cast<size_t>(tile));
    float* const sums = f_.At(static_cast<size_t>(tile));
    float* const scores = s_.At(kBlock * kBlock);
    C* const weights = p_.At(kBlock * kBlock);
    float max[kBlock], sum[kBlock];
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t rows = RowsIn(length, i), padded = Padded(rows);
      kernels::PackRows(q.From(i * kBlock).data, q.stride, rows, padded, dim_, query);
      std::fill(max, max + padded, kLowest);
      std::fill(sum, sum + padded, 0.0f);
      const int64_t last = (past + i * kBlock + rows - 1) / kBlock;
      for (int64_t j = 0; j <= last; ++j) {
        const int64_t columns = Padded(RowsIn(seen, j)), offset = past + (i - j) * kBlock;
        // On the diagonal the upper rows see no column on the right.
        const bool splits = padded > kUpperRows && offset + kUpperRows < columns;
        const int64_t upper = splits ? kUpperRows : 0, lower = padded - upper;
        const int64_t left = splits ? Padded(std::max<int64_t>(0, offset + upper)) : 0;
        if (left > 0)
          MultiplyBlock(upper, left, dim_, query, dim_, keys + j * tile, kBlock, scores, kBlock, false);
        MultiplyBlock(lower, columns, dim_, query + upper * dim_, dim_, keys + j * tile, kBlock,
                      scores + upper * kBlock, kBlock, false);
        kernels::SoftmaxBlock(scores, padded, columns, offset, scale_, max, sum, sums, dim_, weights);
        if (left > 0)
          MultiplyBlock(upper, dim_, left, weights, kBlock, values + j * tile, dim_, sums, dim_, j > 0);
        MultiplyBlock(lower, dim_, columns, weights + upper * kBlock, kBlock, values + j * tile, dim_,
                      sums + upper * dim_, dim_, j > 0);
      }
      kernels::FinishRows(sums, max, sum, rows, dim_, out.From(i * kBlock).data, out.stride,
                          lse == nullptr ? nullptr : lse + i * kBlock);
    }
  }

  void Forget() { held_ = 0; }

  // The tokens that a segment sees, its own at the end, one behind the other.
  Rows<const S> Gather(Rows<const S> x, const PrefixSegment& segment, Scratch<S>& buffer) {
    const int64_t own = segment.tokens.end - segment.tokens.begin;
    S* const all = buffer.At(static_cast<size_t>((segment.position + own) * dim_));
    S* to = all;
    const auto copy = [&](TokenRange range) {
      for (int64_t t = range.begin; t < range.end; ++t, to += dim_) std::copy_n(x.From(t).data, dim_, to);
    };
    for (const TokenRange& range : segment.prefix) copy(range);
    copy(segment.tokens);
    return {all, dim_};
  }

  Scratch<S> gathered_keys, gathered_values;

  // dk and dv [length, dim] of this head alone, in fp32.
  void Backward(Rows<const S> q, Rows<const S> k, Rows<const S> v, Rows<const S> out, const float* lse,
                Rows<const S> dout, int64_t length, Rows<S> dq, Rows<float> dk, Rows<float> dv) {
    Forget();
    const int64_t blocks = Blocks(length), tile = kBlock * dim_;
    const auto all = static_cast<size_t>(blocks * tile);
    C* const queries_t = a_.At(all);  // Q^T, dO^T, Q and dO, each block as a right side
    C* const douts_t = b_.At(all);
    C* const queries = c_.At(all);
    C* const douts = d_.At(all);
    float* const dqs_t = f_.At(all);  // dQ^T [dim, kBlock] each
    std::fill(dqs_t, dqs_t + all, 0.0f);
    float* const deltas = delta_.At(static_cast<size_t>(blocks * kBlock));
    float* const lses = lse_.At(static_cast<size_t>(blocks * kBlock));
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t begin = i * kBlock, rows = RowsIn(length, i), padded = Padded(rows);
      kernels::PackRightTransposed(q.From(begin).data, q.stride, rows, padded, dim_, queries_t + i * tile);
      kernels::PackRightTransposed(dout.From(begin).data, dout.stride, rows, padded, dim_,
                                   douts_t + i * tile);
      kernels::PackRight(q.From(begin).data, q.stride, rows, padded, dim_, queries + i * tile);
      kernels::PackRight(dout.From(begin).data, dout.stride, rows, padded, dim_, douts + i * tile);
      kernels::RowProducts(out.From(begin).data, out.stride, dout.From(begin).data, dout.stride, rows, dim_,
                           deltas + begin);
      std::copy_n(lse + begin, rows, lses + begin);
      // A padding row has no weights.
      std::fill(deltas + begin + rows, deltas + begin + padded, 0.0f);
      std::fill(lses + begin + rows, lses + begin + padded, -kLowest);
    }
    C* const key = k_.At(static_cast<size_t>(tile));
    C* const value = v_.At(static_cast<size_t>(tile));
    C* const key_t = kt_.At(static_cast<size_t>(tile));
    float* const scores = s_.At(kBlock * kBlock);
    float* const dweights = dp_.At(kBlock * kBlock);
    for (int64_t j = 0; j < blocks; ++j) {
      const int64_t rows = RowsIn(length, j), keys = Padded(rows);
      kernels::PackRows(k.From(j * kBlock).data, k.stride, rows, keys, dim_, key);
      kernels::PackRows(v.From(j * kBlock).data, v.stride, rows, keys, dim_, value);
      kernels::PackTransposed(k.From(j * kBlock).data, k.stride, rows, keys, dim_, key_t);
      float* const dkey = dk_.At(static_cast<size_t>(tile));
      float* const dvalue = dv_.At(static_cast<size_t>(tile));
      for (int64_t i = j; i < blocks; ++i) {
        const int64_t count = Padded(RowsIn(length, i));
        MultiplyBlock(keys, count, dim_, key, dim_, queries_t + i * tile, kBlock, scores, kBlock, false);
        MultiplyBlock(keys, count, dim_, value, dim_, douts_t + i * tile, kBlock, dweights, kBlock, false);
        const auto [p, ds, ds_pairs] = Weights(scores, dweights);
        kernels::GradientBlock(scores, dweights, keys, count, (i - j) * kBlock, scale_, lses + i * kBlock,
                               deltas + i * kBlock, p, ds, ds_pairs);
        MultiplyBlock(keys, dim_, count, p, kBlock, douts + i * tile, dim_, dvalue, dim_, i > j);
        MultiplyBlock(keys, dim_, count, ds, kBlock, queries + i * tile, dim_, dkey, dim_, i > j);
        MultiplyBlock(dim_, count, keys, key_t, kBlock, ds_pairs == nullptr ? ds : ds_pairs, kBlock,
                      dqs_t + i * tile, kBlock, true);
      }
      for (int64_t r = 0; r < rows; ++r) {
        std::copy_n(dkey + r * dim_, dim_, dk.From(j * kBlock + r).data);
        std::copy_n(dvalue + r * dim_, dim_, dv.From(j * kBlock + r).data);
      }
    }
    for (int64_t i = 0; i < blocks; ++i) {
      kernels::UnpackTransposed(dqs_t + i * tile, RowsIn(length, i), dim_, dq.From(i * kBlock).data,
                                dq.stride);
    }
  }

 private:
  struct WeightBlocks {
    C *p, *ds, *ds_pairs;
  };
  // Where p and ds of a block go: in place in fp32.
  WeightBlocks Weights(float* scores, float* dweights) {
    if constexpr (std::is_same_v<C, float>) {
      return {scores, dweights, nullptr};
    } else {
      return {p_.At(kBlock * kBlock), ds_.At(kBlock * kBlock), pairs_.At(kBlock * kBlock)};
    }
  }

  int64_t dim_;
  float scale_;
  // Whose keys and values a_ and b_ hold, and of how many tokens: heads that share them come one by one.
  const S *held_keys_ = nullptr, *held_values_ = nullptr;
  int64_t held_ = 0;
  Scratch<C> a_, b_, c_, d_, k_, v_, kt_, p_, ds_, pairs_;
  Scratch<float> f_, s_, dp_, dk_, dv_, delta_, lse_;
};

// Queries past .. past + length - 1 of one head of one sequence, which stand from `begin` on.
struct Task {
  int64_t begin, length, past, head;
  size_t sequence;
};

// Each head and sequence in up to so many pieces of whole blocks; those with the most to multiply first, so
// that threads end together.
std::vector<Task> Tasks(std::span<const int64_t> bounds, int64_t heads, int64_t pieces = 1) {
  std::vector<Task> tasks;
  for (size_t s = 0; s + 1 < bounds.size(); ++s) {
    const int64_t length = bounds[s + 1] - bounds[s];
    const int64_t piece = (Blocks(length) + pieces - 1) / pieces * kBlock;
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t past = 0; past < length; past += piece)
        tasks.push_back({bounds[s] + past, std::min(piece, length - past), past, h, s});
    }
  }
  const auto products = [](const Task& task) { return task.length * (2 * task.past + task.length); };
  std::stable_sort(tasks.begin(), tasks.end(),
                   [&](const Task& a, const Task& b) { return products(a) > products(b); });
  return tasks;
}

// In how many pieces a forward pass takes them, so that there are not too few tasks a thread.
int64_t ForwardPieces(std::span<const int64_t> bounds, int64_t heads) {
  constexpr int64_t kTasksPerThread = 8;
  if (at::get_num_threads() == 1) return 1;
  const int64_t whole = std::max<int64_t>(1, (std::ssize(bounds) - 1) * heads);
  return std::max<int64_t>(1, kTasksPerThread * at::get_num_threads() / whole);
}

// Calls work(worker, task) for every task, each thread with a worker of its own.
template <class S, class C, class Work>
void ForTasks(const std::vector<Task>& tasks, int64_t dim, const Work& work) {
  std::atomic<size_t> next{0};
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
    Worker<S, C> worker(dim);
    for (size_t i = next++; i < tasks.size(); i = next++) work(worker, tasks[i]);
    ReleaseBlocks<C>();
  });
}

// Calls work with what tensors of x's type hold and with what this machine multiplies them in.
template <class Work>
void ForTypes(const at::Tensor& x, const Work& work) {
  if (x.scalar_type() == at::kFloat) {
    work(float{}, float{});
  } else if (MultipliesBlocksOf(at::kBFloat16)) {
    work(BFloat16{}, BFloat16{});
  } else {
    work(BFloat16{}, float{});
  }
}

// Sums [N, heads, dim] fp32, which is not kept, over the heads that share one of `to` [N, kv_heads, dim].
template <class S>
void SumGroups(const at::Tensor& from, const at::Tensor& to) {
  const int64_t heads = from.size(1), kv_heads = to.size(1), dim = to.size(2), stride = to.stride(0);
  auto* const source = from.mutable_data_ptr<float>();
  auto* const target = to.mutable_data_ptr<S>();
  at::parallel_for(0, to.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels::SumHeads(source + t * heads * dim, kv_heads, heads / kv_heads, dim, target + t * stride);
    }
  });
}

void CheckHeads(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 3 && x.stride(2) == 1 && x.stride(1) == x.size(2),
              "the heads of a token must be dense");
}

}  // namespace

bool HasFlashAttention(const at::Tensor& x, int64_t head_dim) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         head_dim % 2 == 0 && head_dim <= kernels::kMostDim;
}

void FlashAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    std::span<const int64_t> bounds, const at::Tensor& out, const at::Tensor& lse) {
  for (const at::Tensor& x : {q, k, v, out}) CheckHeads(x);
  const int64_t group = q.size(1) / k.size(1), tokens = q.size(0);
  float* const lses = lse.defined() ? lse.mutable_data_ptr<float>() : nullptr;
  ForTypes(q, [&](auto held, auto multiplied) {
    using S = decltype(held);
    const auto work = [&](auto& worker, const Task& t) {
      worker.Forward(
          HeadOf<const S>(q, t.head).From(t.begin), HeadOf<const S>(k, t.head / group).From(t.begin - t.past),
          HeadOf<const S>(v, t.head / group).From(t.begin - t.past), HeadOf<S>(out, t.head).From(t.begin),
          lses == nullptr ? nullptr : lses + t.head * tokens + t.begin, t.length, t.past);
    };
    const int64_t pieces = ForwardPieces(bounds, q.size(1));
    ForTasks<S, decltype(multiplied)>(Tasks(bounds, q.size(1), pieces), q.size(2), work);
  });
}

void FlashAttentionTree(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        std::span<const int64_t> bounds, std::span<const PrefixSegment> segments,
                        const at::Tensor& out) {
  for (const at::Tensor& x : {q, k, v, out}) CheckHeads(x);
  const int64_t group = q.size(1) / k.size(1);
  ForTypes(q, [&](auto held, auto multiplied) {
    using S = decltype(held);
    ForTasks<S, decltype(multiplied)>(Tasks(bounds, q.size(1)), q.size(2), [&](auto& worker, const Task& t) {
      const PrefixSegment& segment = segments[t.sequence];
      worker.Forget();  // other tokens are gathered at the same place
      const auto side = [&](const at::Tensor& x, auto& buffer) {
        const auto head = HeadOf<const S>(x, t.head / group);
        return segment.prefix.empty() ? head.From(t.begin) : worker.Gather(head, segment, buffer);
      };
      worker.Forward(HeadOf<const S>(q, t.head).From(t.begin), side(k, worker.gathered_keys),
                     side(v, worker.gathered_values), HeadOf<S>(out, t.head).From(t.begin), nullptr, t.length,
                     segment.position);
    });
  });
}

void FlashAttentionBackward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& out, const at::Tensor& lse, const at::Tensor& dout,
                            std::span<const int64_t> bounds, const at::Tensor& dq, const at::Tensor& dk,
                            const at::Tensor& dv) {
  for (const at::Tensor& x : {q, k, v, out, dout, dq, dk, dv}) CheckHeads(x);
  const int64_t group = q.size(1) / k.size(1), tokens = q.size(0);
  const at::Tensor dk_each = at::empty(q.sizes(), q.options().dtype(at::kFloat));  // [N, heads, head_dim]
  const at::Tensor dv_each = at::empty_like(dk_each);
  const float* const lses = lse.const_data_ptr<float>();
  ForTypes(q, [&](auto held, auto multiplied) {
    using S = decltype(held);
    ForTasks<S, decltype(multiplied)>(Tasks(bounds, q.size(1)), q.size(2), [&](auto& worker, const Task& t) {
      worker.Backward(
          HeadOf<const S>(q, t.head).From(t.begin), HeadOf<const S>(k, t.head / group).From(t.begin),
          HeadOf<const S>(v, t.head / group).From(t.begin), HeadOf<const S>(out, t.head).From(t.begin),
          lses + t.head * tokens + t.begin, HeadOf<const S>(dout, t.head).From(t.begin), t.length,
          HeadOf<S>(dq, t.head).From(t.begin), HeadOf<float>(dk_each, t.head).From(t.begin),
          HeadOf<float>(dv_each, t.head).From(t.begin));
    });
    SumGroups<S>(dk_each, dk);
    SumGroups<S>(dv_each, dv);
  });
}

}  // namespace genflow::nn
