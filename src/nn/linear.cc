#include "nn/linear.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "nn/brgemm.h"
#include "nn/decode/packed_weight.h"
#include "nn/device.h"
#include "nn/dora_linear.h"
#include "nn/fused.h"
#include "nn/lora_linear.h"
#include "nn/product.h"

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

at::Tensor WithDenseRows(const at::Tensor& x) { return x.stride(1) == 1 ? x : x.contiguous(); }

at::Tensor InBlocks(const at::Tensor& x, const at::Tensor& w, bool turned) {
  const RightSide right{WithDenseRows(w), turned};
  const at::Tensor y = at::empty({x.size(0), right.columns()}, x.options());
  ProductInto(WithDenseRows(x), right, y);
  return y;
}

bool WidensProducts(const at::Tensor& x) {
  return x.scalar_type() == at::kBFloat16 && x.is_cpu() && !MultipliesBf16();
}

at::Tensor TimesQuantized(const at::Tensor& x, const QuantizedWeight& weight) {
  const PackedWeight* const packed = weight.PackedIfMade();
  if (packed == nullptr || x.dim() != 2 || !x.is_cpu() || !MultipliesBlocksOf(x.scalar_type())) {
    return Project(x, weight.Dequantize(x.scalar_type()));
  }
  const at::Tensor y = at::empty({x.size(0), packed->rows()}, x.options());
  ProductInto(WithDenseRows(x), {.w = {}, .turned = true, .packed = packed}, y);
  return y;
}

// The parts of one product of x with all of these, without where they go; none where they are not made in
// blocks, or are recorded.
std::vector<ProductPart> PartsOf(const at::Tensor& x, const std::vector<const Linear*>& projections) {
  const bool records = at::GradMode::is_enabled();
  if (x.dim() != 2 || x.stride(1) != 1 || x.size(1) % 2 != 0 || !HasBlockedProducts(x)) return {};
  if (records && x.requires_grad()) return {};
  std::vector<ProductPart> parts;
  for (const Linear* linear : projections) {
    const at::Tensor& weight = linear->weight;
    const PackedWeight* const packed = linear->quantized ? linear->quantized->PackedIfMade() : nullptr;
    if (linear->lora || (linear->quantized && packed == nullptr)) return {};
    if (packed == nullptr && (weight.scalar_type() != x.scalar_type() || weight.stride(1) != 1 ||
                              (records && weight.requires_grad()))) {
      return {};
    }
    const bool has_bias = linear->bias.defined();
    if (has_bias && records && linear->bias.requires_grad()) return {};
    ProductPart& part = parts.emplace_back();
    part.right = {weight, /*turned=*/true, packed};
    if (has_bias) part.bias = linear->bias.to(x.scalar_type());
  }
  return parts;
}

struct QuantizedProduct : torch::autograd::Function<QuantizedProduct> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const std::shared_ptr<const QuantizedWeight>& weight) {
    context->saved_data["weight"] = c10::IValue::make_capsule(c10::make_intrusive<Kept>(weight));
    return TimesQuantized(x, *weight);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto capsule = context->saved_data["weight"].toCapsule();
    const QuantizedWeight& weight = *static_cast<const Kept&>(*capsule).weight;
    return {at::matmul(grads[0], weight.Dequantize(grads[0].scalar_type())), at::Tensor()};
  }

 private:
  struct Kept : torch::CustomClassHolder {
    explicit Kept(std::shared_ptr<const QuantizedWeight> from) : weight(std::move(from)) {}
    std::shared_ptr<const QuantizedWeight> weight;
  };
};

}  // namespace

at::Tensor Project(const at::Tensor& x, const Matrix& weight) {
  if (!weight.quantized) return Project(x, weight.tensor.to(x.scalar_type()));
  return QuantizedProduct::apply(x, weight.quantized);
}

at::Tensor MultiplyTransposed(const at::Tensor& x, const at::Tensor& w) {
  if (HasBlockedProducts(x)) return InBlocks(x, w, /*turned=*/true);
  return at::mm(x, w.t());
}

at::Tensor Multiply(const at::Tensor& x, const at::Tensor& w) {
  if (HasBlockedProducts(x)) return InBlocks(x, w, /*turned=*/false);
  return at::mm(x, w);
}

at::Tensor Project(const at::Tensor& x, const at::Tensor& weight) {
  if (PrefersWeightOnTheLeft(x, weight)) return at::mm(weight, x.t()).t().contiguous();
  const bool records = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  if (!records && x.dim() == 2) return MultiplyTransposed(x, weight);
  return at::linear(x, weight);
}

at::Tensor FrozenProduct(const at::Tensor& x, const Matrix& weight) {
  const at::Tensor input = WidensProducts(x) ? x.to(at::kFloat) : x;
  return MultiplyTransposed(input, weight.To(input.scalar_type()));
}

at::Tensor FrozenProductBackward(const at::Tensor& dy, const Matrix& weight) {
  const at::Tensor gradient = WidensProducts(dy) ? dy.to(at::kFloat) : dy;
  return Multiply(gradient, weight.To(gradient.scalar_type()));
}

at::Tensor Linear::ForwardOnto(const at::Tensor& x, const at::Tensor& residual) const {
  std::vector<ProductPart> parts;
  if (residual.stride(-1) == 1 && !(at::GradMode::is_enabled() && residual.requires_grad()))
    parts = PartsOf(x, {this});
  if (parts.empty()) return residual + Forward(x);
  parts[0].residual = residual;
  parts[0].y = at::empty({x.size(0), out_features()}, x.options());
  ProductsInto(x, parts);
  return parts[0].y;
}

std::vector<at::Tensor> ForwardEach(const at::Tensor& x, const std::vector<const Linear*>& projections) {
  std::vector<at::Tensor> results;
  std::vector<ProductPart> parts = PartsOf(x, projections);
  if (parts.empty()) {
    for (const Linear* linear : projections) results.push_back(linear->Forward(x));
    return results;
  }
  for (ProductPart& part : parts) {
    part.y = at::empty({x.size(0), part.right.columns()}, x.options());
    results.push_back(part.y);
  }
  ProductsInto(x, parts);
  return results;
}

at::Tensor ForwardGated(const at::Tensor& x, const Linear& gate, const Linear& up) {
  const std::vector<ProductPart> parts = PartsOf(x, {&gate, &up});
  if (parts.empty()) return FusedSwiGlu(gate.Forward(x), up.Forward(x));
  at::Tensor y = at::empty({x.size(0), gate.out_features()}, x.options());
  GatedProductInto(x, parts[0], parts[1], y);
  return y;
}

at::Tensor Linear::Forward(const at::Tensor& x) const {
  const bool drops = lora && lora->training && lora->dropout > 0;
  if (lora && lora->magnitude.defined()) {
    const at::Tensor rows = x.flatten(0, -2);  // [N, in]
    const at::Tensor dropped = drops ? at::dropout(rows, lora->dropout, /*train=*/true) : at::Tensor();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = out_features();
    return DoraLinear(rows, dropped, matrix(), bias, *lora).view(shape);
  }
  if (lora && !drops && at::GradMode::is_enabled() && x.dim() == 2 && lora->a.scalar_type() == at::kFloat) {
    return LoraLinear(x, matrix(), bias, *lora);
  }
  at::Tensor y;
  const at::Tensor added = bias.defined() ? bias.to(x.scalar_type()) : bias;
  if (!quantized && bias.defined()) {
    y = at::linear(x, weight.to(x.scalar_type()), added);
  } else {
    y = Project(x, matrix());
    if (bias.defined()) y = y + added;
  }
  if (!lora) return y;
  at::Tensor input = x.to(lora->a.scalar_type());
  if (drops) input = at::dropout(input, lora->dropout, /*train=*/true);
  const at::Tensor update = at::linear(at::linear(input, lora->a), lora->b);  // [..., r] -> [..., out]
  // PEFT adds in the wider type and rounds the sum once.
  return at::add(y, update, lora->scaling).to(y.scalar_type());
}

}  // namespace genflow::nn
