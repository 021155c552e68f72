// Element-wise parts of a decoder layer in one pass over memory, forward and backward. On the CPU in fp32 and
// bf16 by our own kernels; elsewhere by ATen's operations with the same meaning.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "nn/product.h"

namespace genflow::nn {

// Differentiable in their first arguments.

// x [N, n], weight [n] -> weight * T(x / sqrt(mean(x^2) + eps)). For the backward pass only x and one number
// a row are kept.
at::Tensor FusedRmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps);

// silu(gate) * up, all of one shape. For the backward pass only gate and up are kept.
at::Tensor FusedSwiGlu(const at::Tensor& gate, const at::Tensor& up);

// x [N, heads, head_dim]; cos and sin [N, head_dim] fp32 with equal halves. Nothing of x is kept.
at::Tensor FusedRope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// Whether this machine has the kernels for tensors like x. What follows wants that of its arguments, writes
// where it is told and records nothing. Rows may stand apart from each other (stride(0)), and are dense.
bool HasFusedKernels(const at::Tensor& x);

// The norm of x [N, n] into y; gives the reciprocal root of each row, [N] fp32.
at::Tensor NormInto(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y);
// The gradient of x from that of y, plus `residual` where defined, into dx.
void NormBackwardInto(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& roots,
                      const at::Tensor& dy, const at::Tensor& residual, const at::Tensor& dx);

// SwiGLU of a range at a time, as products finish them. Each tensor is [N, n] and must outlive it.
class SwiGluBlocks {
 public:
  // y = silu(gate) * up.
  SwiGluBlocks(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& y);
  // The gradients of gate and up from that of y, which then is y.
  SwiGluBlocks(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& dy, const at::Tensor& dgate,
               const at::Tensor& dup);
  void operator()(const BlockRange& range) const;

 private:
  struct Rows {
    explicit Rows(const at::Tensor& x) : data(x.data_ptr()), stride(x.stride(0)) {}
    void* data;
    int64_t stride;
  };
  template <class T>
  void Compute(const BlockRange& range) const;

  at::ScalarType type_;
  Rows gate_, up_, y_;
  std::optional<Rows> dgate_, dup_;
};

// Dropout of x [N, n] into y, or added to it: what is drawn depends on seed, row and column alone.
void DropInto(const at::Tensor& x, uint64_t seed, double p, bool add, const at::Tensor& y);

// The sum over the rows of -log softmax(logits)[target], in one order whatever the number of threads. logits
// [N, n], targets [N] int64. With `differentiate` the logits become `scale` times its derivative.
double CrossEntropyInto(const at::Tensor& logits, const at::Tensor& targets, bool differentiate,
                        double scale);

// Turns x [N, heads, head_dim], whose heads are dense, by the angles, or back by them, into y, which may be
// x.
void RotateInto(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool back,
                const at::Tensor& y);

}  // namespace genflow::nn
