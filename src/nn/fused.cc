#include "nn/fused.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/kernels.h"

namespace genflow::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Elements that one thread takes at least.
constexpr int64_t kGrain = 16384;

bool HasKernel(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

bool NeedsGrad(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

// Calls work(T{}) with the element type of x.
template <class Work>
void ForType(const at::Tensor& x, const Work& work) {
  if (x.scalar_type() == at::kFloat) {
    work(float{});
  } else {
    work(c10::BFloat16{});
  }
}

int64_t RowsPerThread(int64_t columns) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, columns));
}

// y, and the reciprocal root of each row [N] fp32.
std::pair<at::Tensor, at::Tensor> NormForward(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const int64_t n = x.size(-1);
  const at::Tensor input = x.contiguous();
  const at::Tensor y = at::empty_like(input);
  const at::Tensor roots = at::empty({input.numel() / n}, input.options().dtype(at::kFloat));
  ForType(x, [&](auto type) {
    using T = decltype(type);
    const T* const in = input.const_data_ptr<T>();
    const T* const w = weight.const_data_ptr<T>();
    T* const out = y.mutable_data_ptr<T>();
    float* const root = roots.mutable_data_ptr<float>();
    at::parallel_for(0, roots.numel(), RowsPerThread(n), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        root[i] = kernels::NormRow(in + i * n, w, out + i * n, n, static_cast<float>(eps));
      }
    });
  });
  return {y, roots};
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double eps) {
    const auto [y, roots] = NormForward(x, weight, eps);
    context->save_for_backward({x, weight, roots});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor x = saved[0].contiguous();
    const at::Tensor dy = grads[0].contiguous();
    const at::Tensor dx = at::empty_like(x);
    const int64_t n = x.size(-1);
    ForType(x, [&](auto type) {
      using T = decltype(type);
      const T* const in = x.const_data_ptr<T>();
      const T* const w = saved[1].const_data_ptr<T>();
      const T* const d = dy.const_data_ptr<T>();
      const float* const root = saved[2].const_data_ptr<float>();
      T* const out = dx.mutable_data_ptr<T>();
      at::parallel_for(0, x.numel() / n, RowsPerThread(n), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          kernels::NormBackwardRow(in + i * n, w, d + i * n, root[i], out + i * n, n);
        }
      });
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

at::Tensor SwiGluForward(const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor g = gate.contiguous(), u = up.contiguous();
  const at::Tensor y = at::empty_like(g);
  ForType(g, [&](auto type) {
    using T = decltype(type);
    const T* const gates = g.const_data_ptr<T>();
    const T* const ups = u.const_data_ptr<T>();
    T* const out = y.mutable_data_ptr<T>();
    at::parallel_for(0, y.numel(), kGrain, [&](int64_t begin, int64_t end) {
      kernels::SwiGlu(gates + begin, ups + begin, out + begin, end - begin);
    });
  });
  return y;
}

struct SwiGluFunction : torch::autograd::Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return SwiGluForward(gate, up);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor g = saved[0].contiguous(), u = saved[1].contiguous(), dy = grads[0].contiguous();
    const at::Tensor dgate = at::empty_like(g), dup = at::empty_like(u);
    ForType(g, [&](auto type) {
      using T = decltype(type);
      const T* const gates = g.const_data_ptr<T>();
      const T* const ups = u.const_data_ptr<T>();
      const T* const d = dy.const_data_ptr<T>();
      T* const out_gate = dgate.mutable_data_ptr<T>();
      T* const out_up = dup.mutable_data_ptr<T>();
      at::parallel_for(0, g.numel(), kGrain, [&](int64_t begin, int64_t end) {
        kernels::SwiGluBackward(gates + begin, ups + begin, d + begin, out_gate + begin, out_up + begin,
                                end - begin);
      });
    });
    return {dgate, dup};
  }
};

// sign 1 turns x by the angles, -1 turns it back.
at::Tensor Rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, float sign) {
  const at::Tensor input = x.contiguous();
  const at::Tensor y = at::empty_like(input);
  const int64_t heads = input.size(1), dim = input.size(2);
  const float* const c = cos.const_data_ptr<float>();
  const float* const s = sin.const_data_ptr<float>();
  ForType(input, [&](auto type) {
    using T = decltype(type);
    const T* const in = input.const_data_ptr<T>();
    T* const out = y.mutable_data_ptr<T>();
    at::parallel_for(0, input.size(0), RowsPerThread(heads * dim), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * heads; i < end * heads; ++i) {
        const int64_t angle = i / heads * dim;
        kernels::RotateHead(in + i * dim, c + angle, s + angle, sign, out + i * dim, dim / 2);
      }
    });
  });
  return y;
}

struct RopeFunction : torch::autograd::Function<RopeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return Rotate(x, cos, sin, 1.0f);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    return {Rotate(grads[0], saved[0], saved[1], -1.0f), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor FusedRmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (HasKernel(x) && weight.scalar_type() == x.scalar_type() && !weight.requires_grad()) {
    return NeedsGrad(x) ? RmsNormFunction::apply(x, weight, eps) : NormForward(x, weight, eps).first;
  }
  const at::ScalarType wide_type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor wide = x.to(wide_type);
  const at::Tensor root = at::rsqrt(wide.square().mean({-1}, /*keepdim=*/true) + eps);  // [N, 1]
  return weight * (wide * root).to(x.scalar_type());
}

at::Tensor FusedSwiGlu(const at::Tensor& gate, const at::Tensor& up) {
  if (HasKernel(gate) && up.scalar_type() == gate.scalar_type()) {
    return NeedsGrad(gate) || NeedsGrad(up) ? SwiGluFunction::apply(gate, up) : SwiGluForward(gate, up);
  }
  return at::silu(gate) * up;
}

at::Tensor FusedRope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  if (HasKernel(x)) return NeedsGrad(x) ? RopeFunction::apply(x, cos, sin) : Rotate(x, cos, sin, 1.0f);
  const at::Tensor c = cos.to(x.scalar_type()).unsqueeze(1);  // [N, 1, head_dim]
  const at::Tensor s = sin.to(x.scalar_type()).unsqueeze(1);
  const int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * c + rotated * s;
}

}  // namespace genflow::nn
