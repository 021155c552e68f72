#include "nn/decode/decoder.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "nn/decode/few_rows.h"
#include "nn/decode/packed_weight.h"
#include "nn/decode/projection.h"
#include "nn/kernels.h"
#include "nn/kv_cache.h"
#include "nn/model.h"
#include "nn/scratch.h"
#include "nn/vector_math.h"

namespace genflow::nn {
namespace {

using c10::BFloat16;
using decode::Activations;
using decode::Floats;
using decode::Input;
using decode::Layer;
using decode::Multiply;
using decode::Operand;
using decode::Projection;
using decode::Range;
using decode::WithData;

// A projection and where its product goes.
struct Job {
  const Projection* projection;
  float* y;
  int64_t y_stride;
};

}  // namespace

class Decoder::Impl {
 public:
  explicit Impl(const CausalLM& model)
      : model_(model),
        config_(model.config()),
        norm_(Floats(model.norm.weight)),
        head_(model.head()),
        next_(static_cast<size_t>(kMostSpreads) * (1 + model.layers.size())) {
    layers_.reserve(model.layers.size());
    for (const DecoderLayer& layer : model.layers) layers_.emplace_back(layer);
    packs_ = head_.packed != nullptr;
    for (const Layer& layer : layers_) {
      for (const Projection* each :
           {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down})
        packs_ = packs_ || each->weight.packed != nullptr;
    }
  }

  at::Tensor Step(const std::vector<std::vector<int32_t>>& sequences, int64_t first_row, KvCache& cache) {
    Prepare(sequences, first_row, cache);
    const at::Tensor logits =
        at::empty({static_cast<int64_t>(sequences.size()), config_.vocab_size}, at::kFloat);
    float* const out = logits.mutable_data_ptr<float>();
    for (std::atomic<int64_t>& next : next_) next.store(0, std::memory_order_relaxed);
#pragma omp parallel num_threads(at::get_num_threads())
    {
      spread_ = 0;
      Embed();
      for (size_t i = 0; i < layers_.size(); ++i) RunLayer(layers_[i], static_cast<int64_t>(i), cache);
      Head(out);
    }
    cache.Commit();
    return logits;
  }

 private:
  // Calls work(range) for steps of 0 .. count - 1 until all are taken, by whichever thread is free: threads
  // are not equally fast. All threads come here in the same order.
  template <class Work>
  void Spread(int64_t count, int64_t step, const Work& work) {
    std::atomic<int64_t>& next = next_[static_cast<size_t>(spread_++)];
    for (int64_t begin = next.fetch_add(step, std::memory_order_relaxed); begin < count;
         begin = next.fetch_add(step, std::memory_order_relaxed)) {
      work(Range{begin, std::min(count, begin + step)});
    }
  }

  // The same for the rows of a weight: steps that are worth taking.
  template <class Work>
  void SpreadRows(int64_t rows, int64_t row_bytes, const Work& work) {
    constexpr int64_t kWorth = 48 << 10;
    const int64_t step =
        std::max<int64_t>(1, kWorth / row_bytes / PackedWeight::kPanel) * PackedWeight::kPanel;
    Spread(rows, step, work);
  }

  // Where a token stands in the cache.
  struct Place {
    int64_t row, position;
  };

  void Prepare(const std::vector<std::vector<int32_t>>& sequences, int64_t first_row, KvCache& cache) {
    places_.clear();
    last_.clear();
    std::vector<int64_t> counts, ids, positions;
    int64_t longest = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const int64_t row = first_row + static_cast<int64_t>(i);
      for (const int32_t& token : sequences[i]) {
        positions.push_back(cache.length(row) + static_cast<int64_t>(&token - sequences[i].data()));
        ids.push_back(token);
        places_.push_back({row, positions.back()});
      }
      counts.push_back(static_cast<int64_t>(sequences[i].size()));
      longest = std::max(longest, cache.length(row) + counts.back());
      last_.push_back(static_cast<int64_t>(places_.size()) - 1);
    }
    n_ = static_cast<int64_t>(places_.size());
    cache.Reserve(first_row, counts);
    embedded_ = model_.EmbedTokens(at::tensor(ids, at::kLong));
    const Rope::Angles angles = model_.rope().At(at::tensor(positions, at::kLong));
    cos_ = angles.cos.contiguous();
    sin_ = angles.sin.contiguous();

    const int64_t dim = config_.head_dim, heads = config_.num_heads, kv_heads = config_.num_kv_heads;
    x_.Resize(n_, config_.hidden_size);
    normed_.x.Resize(n_, config_.hidden_size);
    q_.Resize(n_, heads * dim);
    k_.Resize(n_, kv_heads * dim);
    v_.Resize(n_, kv_heads * dim);
    attended_.x.Resize(n_, heads * dim);
    gate_.Resize(n_, config_.intermediate_size);
    activated_.x.Resize(n_, config_.intermediate_size);
    int64_t rank = 0;
    for (const Layer& layer : layers_) {
      rank = std::max({rank, layer.q.rank() + layer.k.rank() + layer.v.rank(), layer.o.rank(),
                       layer.gate.rank() + layer.up.rank(), layer.down.rank()});
    }
    low_.resize(static_cast<size_t>(n_ * rank));
    if (packs_) {
      for (Input* in : {&normed_, &attended_, &activated_}) in->packed.Resize(n_, in->x.width());
    }
    scores_stride_ = (longest + 31) / 16 * 16;
    scores_.At(static_cast<size_t>(at::get_num_threads() * scores_stride_));
  }

  void Embed() {
    const int64_t width = x_.width();
    WithData(embedded_, [&](const auto* rows) {
      Spread(n_, 1, [&](Range range) {
        for (int64_t i = 0; i < width; ++i)
          x_[range.begin][i] = static_cast<float>(rows[range.begin * width + i]);
      });
    });
#pragma omp barrier
  }

  // normed_ t = the norm of x_ `from`.
  void Normalise(const std::vector<float>& weight, int64_t from, int64_t t) {
    kernels::NormRow(x_[from], weight.data(), normed_.x[t], x_.width(),
                     static_cast<float>(config_.rms_norm_eps));
    if (packs_) normed_.packed.Set(t, normed_.x[t]);
  }

  void Normalise(const std::vector<float>& weight) {
    Spread(n_, 1, [&](Range range) { Normalise(weight, range.begin, range.begin); });
#pragma omp barrier
  }

  // Brings what threads have written to in.x to packed weights.
  void Pack(Input& in) {
    if (!packs_) return;
    Spread(n_, 1, [&](Range range) { in.packed.Set(range.begin, in.x[range.begin]); });
#pragma omp barrier
  }

  // All products of one input; `add` adds to what is there. Ends with all threads done.
  void Project(std::initializer_list<Job> jobs, Input& in, bool add) {
    int64_t rank = 0;
    for (const Job& job : jobs) rank += job.projection->rank();
    for (const Job& job : jobs) {
      SpreadRows(job.projection->weight.rows(), job.projection->weight.row_bytes(),
                 [&](Range rows) { job.projection->Rows(rows, in, n_, job.y, job.y_stride, add); });
    }
    if (rank > 0) {
      int64_t at = 0;
      for (const Job& job : jobs) {
        if (job.projection->rank() == 0) continue;
        Spread(job.projection->rank(), 4, [&](Range rows) {
          Multiply(job.projection->linear->lora->a, rows, in.x[0], in.x.width(), n_,
                   low_.data() + at + rows.begin, rank);
        });
        at += job.projection->rank();
      }
#pragma omp barrier
      at = 0;
      for (const Job& job : jobs) {
        if (job.projection->rank() == 0) continue;
        Spread(job.projection->weight.rows(), 256, [&](Range rows) {
          job.projection->AddUpdate(rows, low_.data() + at, rank, n_, job.y, job.y_stride);
        });
        at += job.projection->rank();
      }
    }
#pragma omp barrier
  }

  void RunLayer(const Layer& layer, int64_t index, KvCache& cache) {
    Normalise(layer.input_norm);
    Project({{&layer.q, q_[0], q_.width()}, {&layer.k, k_[0], k_.width()}, {&layer.v, v_[0], v_.width()}},
            normed_, false);
    WithCache(index, cache, [&](auto* keys, auto* values, int64_t capacity) {
      Remember(keys, values, capacity);
#pragma omp barrier
      Attend(keys, values, capacity);
    });
#pragma omp barrier
    Pack(attended_);
    Project({{&layer.o, x_[0], x_.width()}}, attended_, true);
    Normalise(layer.post_norm);
    Project({{&layer.gate, gate_[0], gate_.width()}, {&layer.up, activated_.x[0], activated_.x.width()}},
            normed_, false);
    Spread(gate_.width(), 256, [&](Range range) {
      for (int64_t t = 0; t < n_; ++t) {
        float* const up = activated_.x[t] + range.begin;
        kernels::SwiGlu(gate_[t] + range.begin, up, up, range.end - range.begin);
      }
    });
#pragma omp barrier
    Pack(activated_);
    Project({{&layer.down, x_[0], x_.width()}}, activated_, true);
  }

  template <class Work>
  void WithCache(int64_t layer, KvCache& cache, const Work& work) {
    const at::Tensor& keys = cache.keys(layer);
    const at::Tensor& values = cache.values(layer);
    const int64_t capacity = keys.size(2);
    if (keys.scalar_type() == at::kBFloat16) {
      work(static_cast<BFloat16*>(keys.data_ptr()), static_cast<BFloat16*>(values.data_ptr()), capacity);
    } else {
      work(static_cast<float*>(keys.data_ptr()), static_cast<float*>(values.data_ptr()), capacity);
    }
  }

  // Turns q by its position, and k on its way into the cache.
  template <class T>
  void Remember(T* keys, T* values, int64_t capacity) {
    const int64_t dim = config_.head_dim, heads = config_.num_heads, kv_heads = config_.num_kv_heads;
    const float* const cos = cos_.const_data_ptr<float>();
    const float* const sin = sin_.const_data_ptr<float>();
    Spread(n_ * kv_heads, 1, [&](Range range) {
      const int64_t t = range.begin / kv_heads, head = range.begin % kv_heads, group = heads / kv_heads;
      const float *const c = cos + t * dim, *const s = sin + t * dim;
      for (int64_t h = head * group; h < (head + 1) * group; ++h) {
        float* const q = q_[t] + h * dim;
        kernels::RotateHead(q, c, s, 1.0f, q, dim / 2);
      }
      float* const k = k_[t] + head * dim;
      const float* const v = v_[t] + head * dim;
      kernels::RotateHead(k, c, s, 1.0f, k, dim / 2);
      const int64_t slot = ((places_[t].row * kv_heads + head) * capacity + places_[t].position) * dim;
      for (int64_t d = 0; d < dim; ++d) {
        keys[slot + d] = kernels::Narrow<T>(k[d]);
        values[slot + d] = kernels::Narrow<T>(v[d]);
      }
    });
  }

  template <class T>
  void Attend(const T* keys, const T* values, int64_t capacity) {
    const int64_t dim = config_.head_dim, heads = config_.num_heads, kv_heads = config_.num_kv_heads,
                  group = heads / kv_heads;
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
    float* const scores = scores_.At(0) + omp_get_thread_num() * scores_stride_;
    Spread(n_ * heads, 1, [&](Range range) {
      const int64_t t = range.begin / heads, h = range.begin % heads;
      const int64_t slot = (places_[t].row * kv_heads + h / group) * capacity * dim;
      kernels::AttendOne(q_[t] + h * dim, keys + slot, values + slot, places_[t].position + 1, dim, scale,
                         scores, attended_.x[t] + h * dim);
    });
  }

  void Head(float* logits) {
    const auto n = static_cast<int64_t>(last_.size());
    Spread(n, 1, [&](Range range) { Normalise(norm_, last_[range.begin], range.begin); });
#pragma omp barrier
    SpreadRows(head_.rows(), head_.row_bytes(),
               [&](Range rows) { head_.Rows(rows, normed_, n, logits + rows.begin, config_.vocab_size); });
  }

  const CausalLM& model_;
  const ModelConfig& config_;
  std::vector<float> norm_;
  Operand head_;
  std::vector<Layer> layers_;

  // Spreads of one layer at most: products and updates of seven projections, and eight loops over tokens.
  static constexpr int64_t kMostSpreads = 3 * 7 + 8;
  std::vector<std::atomic<int64_t>> next_;  // what each spread hands out next
  static thread_local int64_t spread_;      // spreads that this thread has begun in this step

  bool packs_ = false;         // whether any weight is packed
  int64_t n_ = 0;              // tokens of this step
  std::vector<Place> places_;  // one a token
  std::vector<int64_t> last_;  // the last token of each sequence
  at::Tensor embedded_;        // [n, hidden]
  at::Tensor cos_, sin_;       // [n, head_dim]
  Activations x_, q_, k_, v_, gate_;
  std::vector<float> low_;  // what the A of one half layer's updates make, [n, ranks]
  Input normed_, attended_, activated_;
  Scratch<float> scores_;  // one row a thread
  int64_t scores_stride_ = 0;
};

thread_local int64_t Decoder::Impl::spread_ = 0;

bool Decoder::Supports(const CausalLM& model) {
  const auto multiplies = [](const Matrix& matrix) {
    return matrix.quantized
               ? matrix.quantized->ggml() && PackedTypeOf(matrix.quantized->format(), matrix.columns())
               : matrix.tensor.scalar_type() == at::kFloat || matrix.tensor.scalar_type() == at::kBFloat16;
  };
  if (!model.device().is_cpu() || model.dtype() == at::kHalf || model.config().head_dim % 2 != 0)
    return false;
  if (!multiplies(model.head())) return false;
  for (const DecoderLayer& layer : model.layers) {
    const Attention& attention = layer.self_attn;
    for (const Linear* linear : {&attention.q_proj, &attention.k_proj, &attention.v_proj, &attention.o_proj,
                                 &layer.mlp.gate_proj, &layer.mlp.up_proj, &layer.mlp.down_proj}) {
      // DoRA scales the whole product, which is not done here.
      if (!multiplies(linear->matrix()) || (linear->lora && linear->lora->magnitude.defined())) return false;
    }
  }
  return true;
}

Decoder::Decoder(const CausalLM& model) : impl_(std::make_unique<Impl>(model)) {}
Decoder::~Decoder() = default;

at::Tensor Decoder::Step(const std::vector<std::vector<int32_t>>& sequences, int64_t first_row,
                         KvCache& cache) {
  return impl_->Step(sequences, first_row, cache);
}

}  // namespace genflow::nn
