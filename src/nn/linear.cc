#include "nn/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <optional>
#include <string_view>

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

// oneDNN multiplies fp32 on the CPU about a tenth faster than the BLAS does, where the processor is none of
// the BLAS's own vendor, and as fast elsewhere. Asked through its operator, because at::mm always takes the
// BLAS for fp32.
bool PrefersOneDnn(const at::Tensor& x, const at::Tensor& w) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && w.is_contiguous() && x.size(0) > kFewRows;
}

at::Tensor OneDnn(const at::Tensor& x, const at::Tensor& weight) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                 c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto multiply =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Signature>();
  return multiply.call(x, weight, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

}  // namespace

at::Tensor MultiplyTransposed(const at::Tensor& x, const at::Tensor& w) {
  return PrefersOneDnn(x, w) ? OneDnn(x, w) : at::mm(x, w.t());
}

at::Tensor Multiply(const at::Tensor& x, const at::Tensor& w) {
  return PrefersOneDnn(x, w) ? OneDnn(x, w.t()) : at::mm(x, w);
}

at::Tensor Project(const at::Tensor& x, const at::Tensor& weight) {
  if (PrefersWeightOnTheLeft(x, weight)) return at::mm(weight, x.t()).t().contiguous();
  const bool records = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  if (!records && x.dim() == 2) return MultiplyTransposed(x, weight);
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
