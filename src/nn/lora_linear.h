// A frozen projection with its low-rank update as one node of the graph.
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/linear.h"

namespace genflow::nn {

// y = x W^T + bias + scaling * (x A^T) B^T for x [N, in], without dropout; differentiable in x, A and B
// alone. For the backward pass x and x A^T are kept, and the gradient of x is made in one buffer. Types as
// LoraSlot says: the update in fp32, the sum rounded once to the type of x. bf16 on a CPU without bf16
// instructions is multiplied in fp32 and rounded once, several times faster than libtorch does there.
at::Tensor LoraLinear(const at::Tensor& x, const Matrix& weight, const at::Tensor& bias,
                      const LoraSlot& lora);

}  // namespace genflow::nn
