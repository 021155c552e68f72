#include "nn/linear.h"

#include <ATen/ATen.h>

namespace genflow::nn {

at::Tensor Linear::Forward(const at::Tensor& x) const {
  at::Tensor y = bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
  if (!lora) return y;
  at::Tensor input = x.to(lora->a.scalar_type());
  if (lora->training && lora->dropout > 0) input = at::dropout(input, lora->dropout, /*train=*/true);
  const at::Tensor update = at::linear(at::linear(input, lora->a), lora->b);  // [..., r] -> [..., out]
  // PEFT adds in the wider type and rounds the sum once.
  return at::add(y, update, lora->scaling).to(y.scalar_type());
}

}  // namespace genflow::nn
