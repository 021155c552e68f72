// Products over all tokens, of which few rows come: the gradients of low-rank updates.
#pragma once

#include <ATen/core/Tensor.h>

namespace genflow::nn {

// [r, columns] fp32 = the transpose of a [N, r] times b [N, columns], both of one type and with dense rows.
// Sums are fp32. In blocks, whose bytes do not depend on the number of threads, where those are multiplied
// (brgemm.h); else by libtorch. Nothing is recorded.
at::Tensor GradientProduct(const at::Tensor& a, const at::Tensor& b);

}  // namespace genflow::nn
