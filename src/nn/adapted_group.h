// Projections that read one input, with the low-rank updates that ride on them, as one matrix:
//
//             in      rank
//        [    W       s B   ]  out     W: the weights, one below the other
//        [    A        0    ]  rank    A: those of the updates likewise; s B: block by block on the diagonal
//
// with zeros around it where a product's depth would leave a remainder (brgemm.h),
// so that a forward pass is one product, [x | x A^T] times the upper rows transposed, and the gradient of the
// input is another, [dy | dy s B] times the columns on the left: no update is added in a pass of its own.
// Both accumulate in fp32. A and B stand in it in the type of W, rounded from the fp32 tensors that are
// trained, as mixed-precision training multiplies them. Of quantised weights the matrix is made anew for each
// product and is gone after it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "nn/linear.h"
#include "nn/product.h"

namespace genflow::nn {

class AdaptedGroup {
 public:
  // Whether such groups pay on this machine for tensors like `x`: fp32, and bf16 where it is multiplied.
  static bool Pays(const at::Tensor& x);

  // Moves the weights of `linears` into one matrix, which their `weight` views from then on, unless one of
  // them is quantised: then all stay as they are. They must outlive it. `dtype`: what the model computes in.
  // `stream` tells the dropout of one group from that of others; 2^32 apart.
  AdaptedGroup(std::vector<Linear*> linears, at::ScalarType dtype, uint64_t stream);

  // Whether the projections are what this was made for: nothing merged or taken off.
  bool Holds() const;

  // For `tokens` rows: [N, at least in + rank], whose first columns are to be filled with x.
  at::Tensor MakeInput(int64_t tokens) const;
  // Fills the columns on the right, and writes the projections side by side, with their biases, into `y`
  // [N, out]. Each update whose slot says so sees an input with a dropout of its own, which `seed` decides.
  // `residual` [N, out] is added where defined; `finish` is called for ranges of the first projection, all
  // being as wide, when the same range of the others is there, too.
  void Forward(const at::Tensor& input, uint64_t seed, const at::Tensor& y, const at::Tensor& residual = {},
               const FinishRange& finish = {});
  // x A^T of an input after Forward, [N, rank]: what Backward needs of it besides x.
  at::Tensor Margin(const at::Tensor& input) const { return input.narrow(1, in_, rank_); }

  // For `tokens` rows: [N, at least out + rank], whose first columns are to be filled with dy.
  at::Tensor MakeGradient(int64_t tokens) const;
  // Fills the columns on the right, and writes the gradient of x into `dx` [N, in], unless that is undefined.
  // `seed` as in the forward pass; `options` are about dx.
  void Backward(const at::Tensor& gradient, uint64_t seed, const at::Tensor& dx,
                const ProductOptions& options = {});
  // After it: adds the gradients of the updates to A.grad and B.grad.
  void AddGradients(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& margin, uint64_t seed);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t rank() const { return rank_; }
  // A tensor that requires a gradient, or an undefined one.
  at::Tensor Anchor() const;

 private:
  struct Part {
    Linear* linear;
    int64_t row, out;      // its rows of W
    int64_t column, rank;  // its rows of A and columns of B, counted from 0
    at::Tensor a, b;       // the update's tensors
    double scaling;
    uint32_t a_version, b_version;  // what the matrix holds of them
    std::shared_ptr<const QuantizedWeight> quantized;
  };
  at::Tensor EmptyMatrix() const;  // of which W, A and B are to be filled
  // The biases side by side, or an undefined tensor where there is none.
  at::Tensor Bias() const;
  // The matrix, with A and B up to date; without W if `margins_alone` and it is not kept.
  at::Tensor Assemble(bool margins_alone = false);
  void CopyUpdate(const Part& part, const at::Tensor& matrix) const;
  // Whether an input of `part` is dropped out, and the stream that is drawn from for it.
  static bool Drops(const Part& part);
  uint64_t StreamOf(const Part& part, uint64_t seed) const;
  // A of a part in the matrix, [part.rank, in].
  at::Tensor DownOf(const Part& part, const at::Tensor& matrix) const;

  std::vector<Part> parts_;
  uint64_t stream_;
  int64_t in_ = 0, out_ = 0, rank_ = 0;
  int64_t height_ = 0, width_ = 0;  // of the matrix
  at::TensorOptions options_;
  at::Tensor matrix_;  // undefined where a weight is quantised
};

}  // namespace genflow::nn
