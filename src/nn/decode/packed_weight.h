// A weight in one of GGML's quantisations, laid out for products with the activations of a few tokens.
// Sixteen rows stand together, four columns of each behind those of the row before, so that one instruction
// serves sixteen rows and nothing is summed across a register. Torch-free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace genflow::nn {

// Whether packed products take activations rounded to 8 bits in blocks of 32, as llama.cpp's do: on CPUs that
// multiply 8-bit numbers (AVX512_VNNI). Elsewhere they take them in fp32.
bool RoundsActivations();

// The activations of some tokens as packed products take them.
class PackedInput {
 public:
  // x [n, columns]; columns is a multiple of 32. Room for `n` tokens; then Set each, from any threads.
  void Resize(int64_t n, int64_t columns);
  void Set(int64_t token, const float* x);

 private:
  friend class PackedWeight;
  int64_t columns_ = 0;
  std::vector<float> x_;       // [n, columns], where activations are not rounded
  std::vector<int8_t> q_;      // [n, columns], where they are: x = scale * q
  std::vector<float> scales_;  // [n, columns / 32]
  std::vector<float> sums_;    // [n, columns / 16]: of x or of q
};

enum class PackedType { kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K };

// The type that GGML names so ("Q4_1"), if rows of so many columns can be packed.
std::optional<PackedType> PackedTypeOf(std::string_view ggml_name, int64_t columns);

class PackedWeight {
 public:
  static constexpr int64_t kPanel = 16;

  // Bytes that [rows, columns] takes.
  static size_t BytesOf(PackedType type, int64_t rows, int64_t columns);
  // `data` has room for that, best in huge pages: a decoding step reads all of it. PackPanel fills it, each
  // panel once, from any threads.
  PackedWeight(PackedType type, int64_t rows, int64_t columns, std::shared_ptr<uint8_t> data);
  // Rows panel * 16 and up; `row(r)` is where the blocks of row r stand.
  void PackPanel(int64_t panel, const std::function<const std::byte*(int64_t row)>& row);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t panels() const { return (rows_ + kPanel - 1) / kPanel; }
  size_t bytes() const { return static_cast<size_t>(panels()) * panel_bytes_; }

  // y[t * y_stride + r - begin * 16] = the product of row r and token t, for tokens 0 <= t < n and the rows r
  // of the panels begin <= p < end. Equal bytes whatever n and the range of panels are.
  void Multiply(int64_t begin, int64_t end, const PackedInput& input, int64_t n, float* y,
                int64_t y_stride) const;
  // The same of activations that are not rounded: x [n, columns], and the sums of each 16 of them.
  void MultiplyExact(int64_t begin, int64_t end, const float* x, const float* sums, int64_t n, float* y,
                     int64_t y_stride) const;

  // Columns begin <= c < begin + columns, both multiples of 32, of the rows of a panel, as numbers in the
  // layout of a product's panel: kernels::UnpackBlocks. T is float or c10::BFloat16.
  template <class T>
  void Unpack(int64_t panel, int64_t begin, int64_t columns, T* to) const;

 private:
  const uint8_t* Panel(int64_t panel) const {
    return data_.get() + static_cast<size_t>(panel) * panel_bytes_;
  }

  PackedType type_;
  int64_t rows_, columns_;
  size_t panel_bytes_;
  std::shared_ptr<uint8_t> data_;
};

}  // namespace genflow::nn
