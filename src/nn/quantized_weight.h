// Frozen matrices in fewer bits than the model computes in, dequantised a few rows at a time where they are
// used.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "formats/model_source.h"
#include "nn/blockwise.h"
#include "nn/decode/packed_weight.h"

namespace genflow::nn {

// How the base's matrices are held.
//   kInt8  projections as bitsandbytes' LLM.int8 stores them: rounded to fp16, then one 8-bit number an
//          element and the largest magnitude of each row in fp32. Storage alone: activations are not
//          quantised, and no outliers are kept apart.
//   kNf4   projections as QLoRA (Dettmers et al. 2023) stores them, in bitsandbytes' layout: 4-bit
//   NormalFloat
//          in blocks of 64, whose scales are 8-bit numbers in blocks of 256.
//   kGguf  every matrix of a GGUF, the embedding and the head too, as its file holds it, straight from the
//   map.
// With kInt8 and kNf4 the embedding and the head stay in the model's type.
enum class Quantization { kNone, kInt8, kNf4, kGguf };
// "none", "int8", "nf4", "gguf".
std::optional<Quantization> QuantizationFromName(std::string_view name);

// [rows, columns], immutable, its rows in Hugging Face's order. Thread-safe.
class QuantizedWeight {
 public:
  virtual ~QuantizedWeight() = default;

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  // Where Dequantize* write.
  at::Device device() const { return device_; }
  // "Q4_1", "NF4", "INT8".
  virtual std::string format() const = 0;
  // Of memory or of the mapped file.
  virtual int64_t bytes() const = 0;

  // Rows [begin, end) into `to` [end - begin, columns], of any floating type on device(): computed in fp32
  // and rounded once. Its rows may stand apart; each is dense.
  virtual void DequantizeRows(int64_t begin, int64_t end, const at::Tensor& to) const = 0;
  // All of it, [rows, columns], or the rows that `ids` [N] int64 names, [N, columns].
  at::Tensor Dequantize(at::ScalarType dtype) const;
  virtual at::Tensor DequantizeRows(const at::Tensor& ids, at::ScalarType dtype) const;

  // GGML's blocks for kernels that multiply by them as they are; nothing for the other formats. Lives as long
  // as this.
  virtual std::optional<formats::GgmlMatrix> ggml() const { return std::nullopt; }
  // Laid out for products with few activations: made by the first call and kept, beside what it is made of.
  // Null where there is no such layout.
  const PackedWeight* Packed() const;
  // The same where it has been made, else null.
  const PackedWeight* PackedIfMade() const { return made_.load(std::memory_order_acquire); }

 protected:
  QuantizedWeight(int64_t rows, int64_t columns, at::Device device)
      : rows_(rows), columns_(columns), device_(device) {}

 private:
  int64_t rows_, columns_;
  at::Device device_;
  mutable std::once_flag packing_;
  mutable std::unique_ptr<const PackedWeight> packed_;
  mutable std::atomic<const PackedWeight*> made_{nullptr};
};

// A frozen matrix [rows, columns]: a tensor, or quantised.
struct Matrix {
  Matrix() = default;
  Matrix(at::Tensor weight) : tensor(std::move(weight)) {}  // NOLINT: a tensor is a matrix
  Matrix(at::Tensor weight, std::shared_ptr<const QuantizedWeight> other)
      : tensor(std::move(weight)), quantized(std::move(other)) {}

  at::Tensor tensor;  // undefined where it is quantised
  std::shared_ptr<const QuantizedWeight> quantized;

  bool defined() const { return tensor.defined() || quantized != nullptr; }
  int64_t rows() const { return quantized ? quantized->rows() : tensor.size(0); }
  int64_t columns() const { return quantized ? quantized->columns() : tensor.size(1); }
  int64_t numel() const { return quantized ? rows() * columns() : tensor.numel(); }
  at::Device device() const { return quantized ? quantized->device() : tensor.device(); }
  // The matrix, or some of its rows, as a tensor of this type; where it has the type, itself.
  at::Tensor To(at::ScalarType dtype) const;
  at::Tensor Rows(int64_t begin, int64_t end, at::ScalarType dtype) const;
};

// Quantises `weight` [rows, columns], of a floating type on the CPU, for use on `device`. Throws c10::Error.
std::shared_ptr<const QuantizedWeight> QuantizeInt8(const at::Tensor& weight, at::Device device);
std::shared_ptr<const QuantizedWeight> QuantizeNf4(const at::Tensor& weight, at::Device device);
// NF4's parts, on the CPU: two elements a byte, the first in the upper half, and of each block of 64, which
// run on from row to row, the largest magnitude less `offset`.
struct Nf4Parts {
  at::Tensor codes;  // [ceil(rows * columns / 2)] uint8
  Blockwise scales;
  float offset;
};
Nf4Parts QuantizeNf4Parts(const at::Tensor& weight);

// A matrix of a GGUF, which is kept open; null where it is F32 or no matrix. On a GPU, rows are dequantised
// on the CPU and copied over.
std::shared_ptr<const QuantizedWeight> GgmlWeight(const formats::ModelSource& source, std::string_view name,
                                                  at::Device device);

}  // namespace genflow::nn
