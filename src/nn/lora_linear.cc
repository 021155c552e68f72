#include "nn/lora_linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace genflow::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// x W^T + bias, rounded to the type of x as PEFT's base layer rounds it.
at::Tensor BaseProduct(const at::Tensor& x, const Matrix& weight, const at::Tensor& bias) {
  at::Tensor y = FrozenProduct(x, weight);
  if (bias.defined()) y += bias;
  return y.to(x.scalar_type());
}

// What the function does not differentiate. Not tensors of its own: autograd asks every tensor argument for
// its device, and the bias may be undefined.
struct Frozen : torch::CustomClassHolder {
  Frozen(Matrix from, at::Tensor added) : weight(std::move(from)), bias(std::move(added)) {}
  Matrix weight;
  at::Tensor bias;
};

struct LoraFunction : torch::autograd::Function<LoraFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& a,
                            const at::Tensor& b, const c10::intrusive_ptr<Frozen>& frozen, double scaling) {
    const at::Tensor down = at::mm(x.to(at::kFloat), a.t());               // [N, r]
    const at::Tensor base = BaseProduct(x, frozen->weight, frozen->bias);  // [N, out]
    at::Tensor y = base.to(at::kFloat);                                    // the same tensor when it is fp32
    y.addmm_(down, b.t(), /*beta=*/1, scaling);
    context->save_for_backward({x, a, b, down});
    context->saved_data["frozen"] = c10::IValue::make_capsule(frozen);
    context->saved_data["scaling"] = scaling;
    return y.to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &a = saved[1], &b = saved[2], &down = saved[3];
    const auto capsule = context->saved_data["frozen"].toCapsule();
    const Matrix& weight = static_cast<const Frozen&>(*capsule).weight;
    const double scaling = context->saved_data["scaling"].toDouble();
    const at::Tensor& dy = grads[0];
    const at::Tensor wide_dy = dy.to(at::kFloat);
    const at::Tensor ddown = at::mm(wide_dy, b).mul_(scaling);      // [N, r]
    const at::Tensor db = at::mm(wide_dy.t(), down).mul_(scaling);  // [out, r]
    const at::Tensor da = at::mm(ddown.t(), x.to(at::kFloat));      // [r, in]
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      dx = FrozenProductBackward(dy, weight).to(at::kFloat);
      dx.addmm_(ddown, a);
      dx = dx.to(x.scalar_type());
    }
    return {dx, da, db, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor LoraLinear(const at::Tensor& x, const Matrix& weight, const at::Tensor& bias,
                      const LoraSlot& lora) {
  return LoraFunction::apply(x, lora.a, lora.b, c10::make_intrusive<Frozen>(weight, bias), lora.scaling);
}

}  // namespace genflow::nn
