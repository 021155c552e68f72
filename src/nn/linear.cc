#include "nn/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "nn/lora_linear.h"

namespace genflow::nn {

namespace {

// Products of a few rows in fp32 on the CPU (decoding a batch) are limited by reading the weight. The BLAS
// reads it once, and not several times, when it stands on the left.
constexpr int64_t kFewRows = 16;

bool PrefersWeightOnTheLeft(const at::Tensor& x, const at::Tensor& weight) {
  return x.dim() == 2 && x.size(0) > 1 && x.size(0) <= kFewRows && x.is_cpu() &&
         weight.scalar_type() == at::kFloat &&
         !(at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad()));
}

}  // namespace

at::Tensor Project(const at::Tensor& x, const at::Tensor& weight) {
  if (PrefersWeightOnTheLeft(x, weight)) return at::mm(weight, x.t()).t().contiguous();
  return at::linear(x, weight);
}

at::Tensor Linear::Forward(const at::Tensor& x) const {
  const bool drops = lora && lora->training && lora->dropout > 0;
  if (lora && !drops && at::GradMode::is_enabled() && x.dim() == 2 && lora->a.scalar_type() == at::kFloat) {
    return LoraLinear(x, weight, bias, *lora);
  }
  at::Tensor y = bias.defined() ? at::linear(x, weight, bias) : Project(x, weight);
  if (!lora) return y;
  at::Tensor input = x.to(lora->a.scalar_type());
  if (drops) input = at::dropout(input, lora->dropout, /*train=*/true);
  const at::Tensor update = at::linear(at::linear(input, lora->a), lora->b);  // [..., r] -> [..., out]
  // PEFT adds in the wider type and rounds the sum once.
  return at::add(y, update, lora->scaling).to(y.scalar_type());
}

}  // namespace genflow::nn
