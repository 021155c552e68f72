#include "nn/fused.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "nn/kernels.h"
#include "nn/rows.h"
#include "nn/scratch.h"

namespace genflow::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Elements that one thread takes at least.
constexpr int64_t kGrain = 16384;

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

// Calls work(i) for each of `rows` rows of `columns` elements, on all threads.
template <class Work>
void ForRows(int64_t rows, int64_t columns, const Work& work) {
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, columns));
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) work(i);
  });
}

void ForBlocks(const at::Tensor& x, const SwiGluBlocks& blocks) {
  ForRows(x.size(0), x.size(1), [&](int64_t i) { blocks({i, 1, 0, x.size(1)}); });
}

at::Tensor AsRows(const at::Tensor& x) { return x.contiguous().view({-1, x.size(-1)}); }

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double eps) {
    const at::Tensor y = at::empty(x.sizes(), x.options());
    const at::Tensor roots = NormInto(AsRows(x), weight, eps, AsRows(y));
    context->save_for_backward({x, weight, roots});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor dx = at::empty(saved[0].sizes(), saved[0].options());
    NormBackwardInto(AsRows(saved[0]), saved[1], saved[2], AsRows(grads[0]), {}, AsRows(dx));
    return {dx, at::Tensor(), at::Tensor()};
  }
};

struct SwiGluFunction : torch::autograd::Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    const at::Tensor y = at::empty(gate.sizes(), gate.options());
    const at::Tensor gates = AsRows(gate), ups = AsRows(up);
    ForBlocks(gates, SwiGluBlocks(gates, ups, AsRows(y)));
    context->save_for_backward({gate, up});
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor dgate = at::empty(gate.sizes(), gate.options());
    const at::Tensor dup = at::empty(up.sizes(), up.options());
    const at::Tensor gates = AsRows(gate), ups = AsRows(up), dy = AsRows(grads[0]).clone();
    ForBlocks(gates, SwiGluBlocks(gates, ups, dy, AsRows(dgate), AsRows(dup)));
    return {dgate, dup};
  }
};

struct RopeFunction : torch::autograd::Function<RopeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    const at::Tensor y = at::empty(x.sizes(), x.options());
    RotateInto(x.contiguous(), cos, sin, /*back=*/false, y);
    return y;
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor dx = at::empty(grads[0].sizes(), grads[0].options());
    RotateInto(grads[0].contiguous(), saved[0], saved[1], /*back=*/true, dx);
    return {dx, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool HasFusedKernels(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

at::Tensor NormInto(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y) {
  const int64_t n = x.size(1);
  const at::Tensor roots = at::empty({x.size(0)}, x.options().dtype(at::kFloat));
  float* const root = roots.mutable_data_ptr<float>();
  ForType(x, [&](auto type) {
    using T = decltype(type);
    const RowsOf<const T> from(x);
    const RowsOf<T> to(y);
    const T* const w = weight.const_data_ptr<T>();
    ForRows(x.size(0), n,
            [&](int64_t i) { root[i] = kernels::NormRow(from[i], w, to[i], n, static_cast<float>(eps)); });
  });
  return roots;
}

void NormBackwardInto(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& roots,
                      const at::Tensor& dy, const at::Tensor& residual, const at::Tensor& dx) {
  const int64_t n = x.size(1);
  const float* const root = roots.const_data_ptr<float>();
  ForType(x, [&](auto type) {
    using T = decltype(type);
    const RowsOf<const T> from(x), gradient(dy), beside(residual.defined() ? residual : dy);
    const RowsOf<T> to(dx);
    const T* const w = weight.const_data_ptr<T>();
    ForRows(x.size(0), n, [&](int64_t i) {
      kernels::NormBackwardRow(from[i], w, gradient[i], root[i], residual.defined() ? beside[i] : nullptr,
                               to[i], n);
    });
  });
}

SwiGluBlocks::SwiGluBlocks(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& y)
    : type_(gate.scalar_type()), gate_(gate), up_(up), y_(y) {}

SwiGluBlocks::SwiGluBlocks(const at::Tensor& gate, const at::Tensor& up, const at::Tensor& dy,
                           const at::Tensor& dgate, const at::Tensor& dup)
    : type_(gate.scalar_type()), gate_(gate), up_(up), y_(dy), dgate_(Rows(dgate)), dup_(Rows(dup)) {}

template <class T>
void SwiGluBlocks::Compute(const BlockRange& range) const {
  for (int64_t row = range.row; row < range.row + range.rows; ++row) {
    const auto at = [&](const Rows& rows) {
      return static_cast<T*>(rows.data) + row * rows.stride + range.column;
    };
    if (dgate_) {
      kernels::SwiGluBackward(at(gate_), at(up_), at(y_), at(*dgate_), at(*dup_), range.columns);
    } else {
      kernels::SwiGlu(at(gate_), at(up_), at(y_), range.columns);
    }
  }
}

void SwiGluBlocks::operator()(const BlockRange& range) const {
  type_ == at::kFloat ? Compute<float>(range) : Compute<c10::BFloat16>(range);
}

void DropInto(const at::Tensor& x, uint64_t seed, double p, bool add, const at::Tensor& y) {
  const int64_t n = x.size(1);
  ForType(x, [&](auto type) {
    using T = decltype(type);
    const RowsOf<const T> from(x);
    const RowsOf<T> to(y);
    ForRows(x.size(0), n, [&](int64_t i) {
      kernels::Drop(from[i], n, seed, static_cast<uint64_t>(i * n), static_cast<float>(p), add, to[i]);
    });
  });
}

double CrossEntropyInto(const at::Tensor& logits, const at::Tensor& targets, bool differentiate,
                        double scale) {
  const int64_t rows = logits.size(0), n = logits.size(1);
  const int64_t* const target = targets.const_data_ptr<int64_t>();
  std::vector<float> losses(static_cast<size_t>(rows));
  ForType(logits, [&](auto type) {
    using T = decltype(type);
    const RowsOf<T> all(logits);
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      Scratch<float> scratch;
      for (int64_t i = begin; i < end; ++i) {
        losses[static_cast<size_t>(i)] =
            kernels::CrossEntropyRow(all[i], n, target[i], static_cast<float>(scale),
                                     differentiate ? all[i] : nullptr, scratch.At(static_cast<size_t>(n)));
      }
    });
  });
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

void RotateInto(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, bool back,
                const at::Tensor& y) {
  const int64_t heads = x.size(1), dim = x.size(2);
  const float sign = back ? -1.0f : 1.0f;
  const float* const c = cos.const_data_ptr<float>();
  const float* const s = sin.const_data_ptr<float>();
  ForType(x, [&](auto type) {
    using T = decltype(type);
    const RowsOf<const T> from(x);
    const RowsOf<T> to(y);
    ForRows(x.size(0), heads * dim, [&](int64_t i) {
      for (int64_t h = 0; h < heads; ++h) {
        kernels::RotateHead(from[i] + h * dim, c + i * dim, s + i * dim, sign, to[i] + h * dim, dim / 2);
      }
    });
  });
}

at::Tensor FusedRmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (HasFusedKernels(x) && weight.scalar_type() == x.scalar_type() && !weight.requires_grad()) {
    if (NeedsGrad(x)) return RmsNormFunction::apply(x, weight, eps);
    const at::Tensor y = at::empty(x.sizes(), x.options());
    NormInto(AsRows(x), weight, eps, AsRows(y));
    return y;
  }
  const at::ScalarType wide_type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor wide = x.to(wide_type);
  const at::Tensor root = at::rsqrt(wide.square().mean({-1}, /*keepdim=*/true) + eps);  // [N, 1]
  return weight * (wide * root).to(x.scalar_type());
}

at::Tensor FusedSwiGlu(const at::Tensor& gate, const at::Tensor& up) {
  if (!HasFusedKernels(gate) || up.scalar_type() != gate.scalar_type()) return at::silu(gate) * up;
  if (NeedsGrad(gate) || NeedsGrad(up)) return SwiGluFunction::apply(gate, up);
  const at::Tensor y = at::empty(gate.sizes(), gate.options());
  const at::Tensor gates = AsRows(gate), ups = AsRows(up);
  ForBlocks(gates, SwiGluBlocks(gates, ups, AsRows(y)));
  return y;
}

at::Tensor FusedRope(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  if (HasFusedKernels(x)) {
    if (NeedsGrad(x)) return RopeFunction::apply(x, cos, sin);
    const at::Tensor y = at::empty(x.sizes(), x.options());
    RotateInto(x.contiguous(), cos, sin, /*back=*/false, y);
    return y;
  }
  const at::Tensor c = cos.to(x.scalar_type()).unsqueeze(1);  // [N, 1, head_dim]
  const at::Tensor s = sin.to(x.scalar_type()).unsqueeze(1);
  const int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * c + rotated * s;
}

}  // namespace genflow::nn
