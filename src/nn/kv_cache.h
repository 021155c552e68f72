// Keys and values of the tokens seen so far, for several sequences of different lengths.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace genflow::nn {

// Rows are sequences. Active rows are always 0..rows()-1: DropRow moves the last row into the gap.
// Storage grows by itself. Not thread-safe; used under InferenceMode only.
class KvCache {
 public:
  KvCache(int64_t num_layers, int64_t num_kv_heads, int64_t head_dim, at::ScalarType dtype,
          at::Device device);

  int64_t rows() const { return static_cast<int64_t>(lengths_.size()); }
  // Tokens held by a row.
  int64_t length(int64_t row) const { return lengths_[row]; }
  int64_t max_length() const;

  // Appends `count` empty rows and returns the index of the first.
  int64_t AddRows(int64_t count);
  // Removes a row; the last row takes its index.
  void DropRow(int64_t row);
  // Gives an empty row the first `length` tokens of another.
  void CopyPrefix(int64_t from, int64_t to, int64_t length);
  // Forgets the tokens of a row past the first `length`.
  void Truncate(int64_t row, int64_t length);

  // Makes room for `count` more tokens in each of rows first_row..first_row+counts.size()-1. Call once
  // per forward pass, before the layers write.
  void Reserve(int64_t first_row, const std::vector<int64_t>& counts);
  // Writes k and v, each [T, kv_heads, head_dim], behind the tokens that `row` holds. Lengths stay.
  void Write(int64_t layer, int64_t row, const at::Tensor& k, const at::Tensor& v);
  // Writes one token to each of the n rows given to Reserve with counts of 1: k and v [n, kv_heads,
  // head_dim].
  void WriteOneEach(int64_t layer, const at::Tensor& k, const at::Tensor& v);
  // After all layers have written: adds the counts given to Reserve to the lengths.
  void Commit();

  // Whole storage of a layer, [allocated rows, kv_heads, capacity, head_dim]; what was never written is zero.
  const at::Tensor& keys(int64_t layer) const { return keys_[layer]; }
  const at::Tensor& values(int64_t layer) const { return values_[layer]; }

 private:
  void Grow(int64_t rows, int64_t capacity);

  int64_t num_kv_heads_;
  int64_t head_dim_;
  at::TensorOptions options_;
  std::vector<int64_t> lengths_;
  std::vector<at::Tensor> keys_;    // one a layer
  std::vector<at::Tensor> values_;  // one a layer
  int64_t pending_row_ = 0;
  std::vector<int64_t> pending_;
  at::Tensor slots_;  // where WriteOneEach writes
};

}  // namespace genflow::nn
