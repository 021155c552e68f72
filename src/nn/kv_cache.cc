#include "nn/kv_cache.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace genflow::nn {
namespace {

constexpr int64_t kCapacityStep = 64;
constexpr int64_t kTokensPerTask = 64;  // at least, of those that are written

bool HasDenseHeads(const at::Tensor& x) { return x.stride(2) == 1; }

}  // namespace

KvCache::KvCache(int64_t num_layers, int64_t num_kv_heads, int64_t head_dim, at::ScalarType dtype,
                 at::Device device)
    : num_kv_heads_(num_kv_heads),
      head_dim_(head_dim),
      options_(at::TensorOptions().dtype(dtype).device(device)),
      keys_(num_layers),
      values_(num_layers) {}

int64_t KvCache::max_length() const {
  return lengths_.empty() ? 0 : *std::max_element(lengths_.begin(), lengths_.end());
}

int64_t KvCache::AddRows(int64_t count) {
  const int64_t first = rows();
  lengths_.resize(lengths_.size() + count, 0);
  return first;
}

void KvCache::DropRow(int64_t row) {
  const int64_t last = rows() - 1;
  if (row != last && lengths_[last] > 0) {
    for (auto* side : {&keys_, &values_}) {
      for (at::Tensor& storage : *side) {
        storage.select(0, row)
            .narrow(1, 0, lengths_[last])
            .copy_(storage.select(0, last).narrow(1, 0, lengths_[last]));
      }
    }
  }
  lengths_[row] = lengths_[last];
  lengths_.pop_back();
}

void KvCache::CopyPrefix(int64_t from, int64_t to, int64_t length) {
  if (rows() > keys_[0].size(0)) Grow(rows(), keys_[0].size(2));
  for (auto* side : {&keys_, &values_}) {
    for (at::Tensor& storage : *side) {
      storage.select(0, to).narrow(1, 0, length).copy_(storage.select(0, from).narrow(1, 0, length));
    }
  }
  lengths_[to] = length;
}

void KvCache::Truncate(int64_t row, int64_t length) { lengths_[row] = std::min(lengths_[row], length); }

void KvCache::Grow(int64_t rows, int64_t capacity) {
  for (auto* side : {&keys_, &values_}) {
    for (at::Tensor& storage : *side) {
      // Zero, because masked attention multiplies what was never written by zero.
      at::Tensor larger = at::zeros({rows, num_kv_heads_, capacity, head_dim_}, options_);
      if (storage.defined()) {
        larger.narrow(0, 0, storage.size(0)).narrow(2, 0, storage.size(2)).copy_(storage);
      }
      storage = larger;
    }
  }
}

void KvCache::Reserve(int64_t first_row, const std::vector<int64_t>& counts) {
  pending_row_ = first_row;
  pending_ = counts;
  int64_t needed = 0;
  for (size_t i = 0; i < counts.size(); ++i) needed = std::max(needed, lengths_[first_row + i] + counts[i]);

  const bool empty = !keys_[0].defined();
  const int64_t had_rows = empty ? 0 : keys_[0].size(0);
  const int64_t had_capacity = empty ? 0 : keys_[0].size(2);
  if (rows() > had_rows || needed > had_capacity) {
    int64_t capacity = had_capacity;
    if (needed > had_capacity) {
      const int64_t wanted = std::max(needed, had_capacity + had_capacity / 2);
      capacity = (wanted + kCapacityStep - 1) / kCapacityStep * kCapacityStep;
    }
    Grow(std::max(rows(), had_rows), capacity);
  }

  slots_.reset();
  const bool one_each = std::all_of(counts.begin(), counts.end(), [](int64_t count) { return count == 1; });
  if (!one_each) return;
  const int64_t capacity = keys_[0].size(2);
  std::vector<int64_t>
      slots;  // of each row and head in the storage seen as [rows * kv_heads * capacity, head_dim]
  for (size_t i = 0; i < counts.size(); ++i) {
    const int64_t row = first_row + static_cast<int64_t>(i);
    for (int64_t head = 0; head < num_kv_heads_; ++head) {
      slots.push_back((row * num_kv_heads_ + head) * capacity + lengths_[row]);
    }
  }
  slots_ = at::tensor(slots, at::kLong).to(options_.device());
}

void KvCache::Write(int64_t layer, int64_t row, const at::Tensor& k, const at::Tensor& v) {
  const int64_t count = k.size(0);
  const at::Tensor keys = keys_[layer].select(0, row).narrow(1, lengths_[row], count);
  const at::Tensor values = values_[layer].select(0, row).narrow(1, lengths_[row], count);
  if (!k.is_cpu() || k.scalar_type() != keys.scalar_type() || v.scalar_type() != keys.scalar_type() ||
      !HasDenseHeads(k) || !HasDenseHeads(v)) {
    keys.copy_(k.transpose(0, 1));
    values.copy_(v.transpose(0, 1));
    return;
  }
  // All threads at both: two copies by libtorch are made one after the other, and each by one thread.
  const auto size = static_cast<size_t>(head_dim_ * k.element_size());
  at::parallel_for(0, count, kTokensPerTask, [&](int64_t begin, int64_t end) {
    for (const auto& [from, to] : {std::pair(&k, &keys), std::pair(&v, &values)}) {
      const auto* const source = static_cast<const char*>(from->const_data_ptr());
      auto* const target = static_cast<char*>(to->mutable_data_ptr());
      const int64_t bytes = from->element_size();
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t h = 0; h < num_kv_heads_; ++h) {
          std::memcpy(target + (h * to->stride(0) + t * to->stride(1)) * bytes,
                      source + (t * from->stride(0) + h * from->stride(1)) * bytes, size);
        }
      }
    }
  });
}

void KvCache::WriteOneEach(int64_t layer, const at::Tensor& k, const at::Tensor& v) {
  keys_[layer].view({-1, head_dim_}).index_copy_(0, slots_, k.reshape({-1, head_dim_}));
  values_[layer].view({-1, head_dim_}).index_copy_(0, slots_, v.reshape({-1, head_dim_}));
}

void KvCache::Commit() {
  for (size_t i = 0; i < pending_.size(); ++i) lengths_[pending_row_ + i] += pending_[i];
  pending_.clear();
}

}  // namespace genflow::nn
