// Rotary position embedding (Su et al. 2021) in Hugging Face's layout: the first half of a head's
// channels is paired with the second half.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/config.h"

namespace genflow::nn {

class Rope {
 public:
  // head_dim must be even.
  Rope(int64_t head_dim, double theta, const RopeScaling& scaling, at::Device device);

  // positions [N] int64 -> cos and sin, each [N, head_dim] fp32 with both halves equal.
  struct Angles {
    at::Tensor cos;
    at::Tensor sin;
  };
  Angles At(const at::Tensor& positions) const;

 private:
  at::Tensor inv_freq_;  // [head_dim / 2] fp32
};

// x [N, heads, head_dim] -> the same shape, rotated: x * cos + rotate_half(x) * sin, with cos and sin
// rounded to the type of x as Hugging Face does. Differentiable in x.
at::Tensor ApplyRope(const at::Tensor& x, const Rope::Angles& angles);
// The same of an x that is not needed any more, and is turned itself where that is possible.
at::Tensor ApplyRopeTo(at::Tensor x, const Rope::Angles& angles);

}  // namespace genflow::nn
