// What a step of decoding multiplies: a model's matrices with their updates, for some of their rows at a
// time.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "nn/decode/few_rows.h"
#include "nn/decode/packed_weight.h"
#include "nn/layers.h"

namespace genflow::nn::decode {

// Rows begin <= r < end.
struct Range {
  int64_t begin, end;
};

// Calls work(data) with what a tensor of fp32 or bf16 holds.
template <class Work>
void WithData(const at::Tensor& x, const Work& work) {
  if (x.scalar_type() == at::kBFloat16) {
    work(x.const_data_ptr<c10::BFloat16>());
  } else {
    work(x.const_data_ptr<float>());
  }
}

// y [n, rows] = some rows of the product with a dense matrix.
inline void Multiply(const at::Tensor& weight, Range rows, const float* x, int64_t x_stride, int64_t n,
                     float* y, int64_t y_stride) {
  WithData(weight, [&](const auto* w) {
    kernels::MultiplyFew(w + rows.begin * weight.stride(0), weight.stride(0), rows.end - rows.begin,
                         weight.size(1), x, x_stride, n, y, y_stride);
  });
}

inline std::vector<float> Floats(const at::Tensor& x) {
  const at::Tensor wide = x.to(at::kFloat).contiguous();
  return {wide.const_data_ptr<float>(), wide.const_data_ptr<float>() + wide.numel()};
}

// Activations of n tokens, [n, width].
class Activations {
 public:
  void Resize(int64_t n, int64_t width) {
    width_ = width;
    values_.resize(static_cast<size_t>(n * width));
  }
  float* operator[](int64_t token) { return values_.data() + token * width_; }
  int64_t width() const { return width_; }

 private:
  int64_t width_ = 0;
  std::vector<float> values_;
};

// What the projections of one half layer read: activations, and the same as packed weights take them.
struct Input {
  Activations x;
  PackedInput packed;
};

// y += scale * what multiply(range, product) makes of steps of the rows: product [n, kStep].
constexpr int64_t kStep = 64;
template <class Work>
void AddInSteps(Range rows, int64_t n, float scale, float* y, int64_t y_stride, const Work& multiply) {
  thread_local std::vector<float> product;
  product.resize(static_cast<size_t>(kStep * n));
  for (int64_t r = rows.begin; r < rows.end; r += kStep) {
    const int64_t last = std::min(rows.end, r + kStep);
    multiply(Range{r, last}, product.data());
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t i = r; i < last; ++i) y[t * y_stride + i] += scale * product[t * kStep + i - r];
    }
  }
}

// A matrix as it is multiplied: packed, or dense.
struct Operand {
  explicit Operand(const Matrix& matrix)
      : dense(matrix.tensor), packed(matrix.quantized ? matrix.quantized->Packed() : nullptr) {}

  int64_t rows() const { return packed != nullptr ? packed->rows() : dense.size(0); }
  int64_t row_bytes() const {
    return packed != nullptr ? static_cast<int64_t>(packed->bytes()) / packed->rows()
                             : dense.stride(0) * dense.itemsize();
  }
  // y [n, rows] = these rows, whole panels, of the product.
  void Rows(Range rows, Input& in, int64_t n, float* y, int64_t y_stride) const {
    constexpr int64_t kPanel = PackedWeight::kPanel;
    if (packed != nullptr) {
      packed->Multiply(rows.begin / kPanel, (rows.end + kPanel - 1) / kPanel, in.packed, n, y, y_stride);
    } else {
      Multiply(dense, rows, in.x[0], in.x.width(), n, y, y_stride);
    }
  }

  at::Tensor dense;
  const PackedWeight* packed;
};

// A projection of a model, which must stay where it is.
struct Projection {
  explicit Projection(const Linear& linear) : linear(&linear), weight(linear.matrix()) {
    if (linear.bias.defined()) bias = Floats(linear.bias);
  }

  int64_t rank() const { return linear->lora ? linear->lora->a.size(0) : 0; }

  // y (+)= the rows of the product, of all tokens.
  void Rows(Range rows, Input& in, int64_t n, float* y, int64_t y_stride, bool add) const {
    if (!add) {
      weight.Rows(rows, in, n, y + rows.begin, y_stride);
    } else {
      AddInSteps(rows, n, 1.0f, y, y_stride,
                 [&](Range step, float* product) { weight.Rows(step, in, n, product, kStep); });
    }
    if (bias.empty()) return;
    for (int64_t t = 0; t < n; ++t) {
      for (int64_t r = rows.begin; r < rows.end; ++r) y[t * y_stride + r] += bias[r];
    }
  }

  // y += the update, from a [n, rank] = A x.
  void AddUpdate(Range rows, const float* a, int64_t a_stride, int64_t n, float* y, int64_t y_stride) const {
    AddInSteps(
        rows, n, static_cast<float>(linear->lora->scaling), y, y_stride,
        [&](Range step, float* product) { Multiply(linear->lora->b, step, a, a_stride, n, product, kStep); });
  }

  const Linear* linear;
  Operand weight;
  std::vector<float> bias;
};

struct Layer {
  explicit Layer(const DecoderLayer& layer)
      : input_norm(Floats(layer.input_layernorm.weight)),
        post_norm(Floats(layer.post_attention_layernorm.weight)),
        q(layer.self_attn.q_proj),
        k(layer.self_attn.k_proj),
        v(layer.self_attn.v_proj),
        o(layer.self_attn.o_proj),
        gate(layer.mlp.gate_proj),
        up(layer.mlp.up_proj),
        down(layer.mlp.down_proj) {}

  std::vector<float> input_norm, post_norm;
  Projection q, k, v, o, gate, up, down;
};

}  // namespace genflow::nn::decode
