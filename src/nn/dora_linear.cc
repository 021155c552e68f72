#include "nn/dora_linear.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace genflow::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What is not differentiated.
struct Frozen : torch::CustomClassHolder {
  Frozen(Matrix from, at::Tensor lengths, double factor, bool is_rest)
      : weight(std::move(from)), norm(std::move(lengths)), scaling(factor), rest(is_rest) {}
  Matrix weight;
  at::Tensor norm;
  double scaling;
  bool rest;  // whether x W^T is taken off again
};

// [N, out] fp32: f u(x), less x W^T if frozen.rest.
struct DoraFunction : torch::autograd::Function<DoraFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& magnitude,
                            const c10::intrusive_ptr<Frozen>& frozen) {
    const at::Tensor base = FrozenProduct(x, frozen->weight).to(at::kFloat);  // [N, out]
    const at::Tensor down = at::mm(x.to(at::kFloat), a.t());                  // [N, r]
    const at::Tensor sum = at::addmm(base, down, b.t(), /*beta=*/1, frozen->scaling);
    at::Tensor y = sum * (magnitude / frozen->norm);
    if (frozen->rest) y.sub_(base);
    context->save_for_backward({x, a, b, magnitude, down, sum.to(x.scalar_type())});
    context->saved_data["frozen"] = c10::IValue::make_capsule(frozen);
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &a = saved[1], &b = saved[2], &magnitude = saved[3], &down = saved[4],
                     &sum = saved[5];
    const auto capsule = context->saved_data["frozen"].toCapsule();
    const auto& frozen = static_cast<const Frozen&>(*capsule);
    const at::Tensor& dy = grads[0];                                    // [N, out] fp32
    const at::Tensor dmagnitude = (dy * sum).sum(0).div_(frozen.norm);  // [out]
    const at::Tensor dsum = dy * (magnitude / frozen.norm);             // [N, out]
    const at::Tensor ddown = at::mm(dsum, b).mul_(frozen.scaling);      // [N, r]
    const at::Tensor db = at::mm(dsum.t(), down).mul_(frozen.scaling);  // [out, r]
    const at::Tensor da = at::mm(ddown.t(), x.to(at::kFloat));          // [r, in]
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      if (frozen.rest) dsum.sub_(dy);
      dx = FrozenProductBackward(dsum.to(x.scalar_type()), frozen.weight).to(at::kFloat);
      dx = dx.addmm_(ddown, a).to(x.scalar_type());
    }
    return {dx, da, db, dmagnitude, at::Tensor()};
  }
};

}  // namespace

at::Tensor DoraLengths(const Matrix& weight, const LoraSlot& lora) {
  constexpr int64_t kRows = 1024;
  const c10::NoGradGuard no_grad;
  DoraNorm* const kept = lora.dora_norm.get();
  const uint32_t a_version = lora.a._version(), b_version = lora.b._version();
  if (kept != nullptr && kept->lengths.defined() && kept->a_version == a_version &&
      kept->b_version == b_version)
    return kept->lengths;
  std::vector<at::Tensor> lengths;
  for (int64_t begin = 0; begin < weight.rows(); begin += kRows) {
    const int64_t end = std::min(begin + kRows, weight.rows());
    const at::Tensor sum = at::addmm(weight.Rows(begin, end, at::kFloat),
                                     lora.b.narrow(0, begin, end - begin), lora.a, /*beta=*/1, lora.scaling);
    lengths.push_back(at::linalg_vector_norm(sum, 2, {1}));
  }
  const at::Tensor all = at::cat(lengths);
  if (kept != nullptr) *kept = {all, a_version, b_version};
  return all;
}

at::Tensor DoraLinear(const at::Tensor& x, const at::Tensor& dropped, const Matrix& weight,
                      const at::Tensor& bias, const LoraSlot& lora) {
  const auto frozen =
      c10::make_intrusive<Frozen>(weight, DoraLengths(weight, lora), lora.scaling, dropped.defined());
  at::Tensor y = DoraFunction::apply(dropped.defined() ? dropped : x, lora.a, lora.b, lora.magnitude, frozen);
  if (dropped.defined()) y = y + Project(x, weight);
  if (bias.defined()) y = y + bias;
  return y.to(x.scalar_type());
}

}  // namespace genflow::nn
