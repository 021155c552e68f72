#include "nn/train/loss.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "nn/device.h"
#include "nn/fused.h"
#include "nn/linear.h"

namespace genflow::nn::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The type in which this machine multiplies hidden states and the head best.
at::ScalarType ProductType(const at::Tensor& hidden) {
  const bool narrow = hidden.scalar_type() == at::kBFloat16;
  return narrow && hidden.is_cpu() && !MultipliesBf16() ? at::kFloat : hidden.scalar_type();
}

// Calls work(begin, slice) for the rows of the head as `type`: the head itself, or copies of a few rows at a
// time.
template <class Work>
void ForHeadSlices(const Matrix& head, at::ScalarType type, const Work& work) {
  constexpr int64_t kSliceBytes = 16 << 20;
  if (head.tensor.defined() && head.tensor.scalar_type() == type) {
    work(0, head.tensor);
    return;
  }
  const auto width = static_cast<int64_t>(c10::elementSize(type));
  const int64_t step = std::max<int64_t>(1, kSliceBytes / (width * head.columns()));
  for (int64_t begin = 0; begin < head.rows(); begin += step) {
    work(begin, head.Rows(begin, std::min(begin + step, head.rows()), type));
  }
}

// x [size, H] -> its logits [size, V], in the type in which they were multiplied.
at::Tensor Logits(const at::Tensor& x, const Matrix& head) {
  const at::Tensor inputs = x.to(ProductType(x));
  at::Tensor logits;
  ForHeadSlices(head, inputs.scalar_type(), [&](int64_t begin, const at::Tensor& slice) {
    if (slice.size(0) == head.rows()) {
      logits = MultiplyTransposed(inputs, slice);
      return;
    }
    if (begin == 0) logits = at::empty({x.size(0), head.rows()}, inputs.options());
    at::Tensor part = logits.narrow(1, begin, slice.size(0));
    at::mm_out(part, inputs, slice.t());
  });
  return logits;
}

// The gradient of x [size, H] from that of its logits; that of the head is added to `head_gradient` [V, H]
// fp32, where defined.
at::Tensor LogitsBackward(const at::Tensor& gradient, const at::Tensor& x, const Matrix& head,
                          const at::Tensor& head_gradient) {
  const at::Tensor inputs = x.to(ProductType(x));
  at::Tensor out;
  ForHeadSlices(head, inputs.scalar_type(), [&](int64_t begin, const at::Tensor& slice) {
    const at::Tensor part = gradient.narrow(1, begin, slice.size(0)).to(slice.scalar_type());
    if (slice.size(0) == head.rows()) {
      out = Multiply(part, slice);
    } else {
      if (begin == 0) out = at::zeros({x.size(0), x.size(1)}, x.options().dtype(at::kFloat));
      out.add_(at::mm(part, slice));
    }
    if (head_gradient.defined()) head_gradient.narrow(0, begin, slice.size(0)).add_(at::mm(part.t(), inputs));
  });
  return out.to(x.scalar_type());
}

// The summed loss of logits [size, V], which then are `scale` times its derivative if `wants_gradient`:
// softmax less one at the target.
at::Tensor LossOfLogits(at::Tensor& logits, const at::Tensor& targets, bool wants_gradient, double scale) {
  if (HasFusedKernels(logits)) {
    return at::scalar_tensor(CrossEntropyInto(logits, targets, wants_gradient, scale),
                             logits.options().dtype(at::kDouble));
  }
  const at::Tensor target = targets.unsqueeze(1);  // [size, 1]
  logits = logits.to(at::kFloat);
  const at::Tensor at_target = logits.gather(1, target);
  if (!wants_gradient) return (logits.logsumexp(1, /*keepdim=*/true) - at_target).sum(at::kDouble);
  const at::Tensor peak = logits.amax(1, /*keepdim=*/true);
  logits.sub_(peak).exp_();
  const at::Tensor sum = logits.sum(1, /*keepdim=*/true);
  const at::Tensor total = (sum.log() + peak - at_target).sum(at::kDouble);
  logits.mul_(scale / sum);
  logits.scatter_add_(1, target, at::full_like(at_target, -scale));
  return total;
}

struct Head : torch::CustomClassHolder {
  Head(Matrix from, bool is_trained) : matrix(std::move(from)), trained(is_trained) {}
  Matrix matrix;
  bool trained;
};

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  // `anchor` is the head where it is trained, so that the result has its gradient.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& /*anchor*/,
                            const c10::intrusive_ptr<Head>& head, const at::Tensor& rows,
                            const at::Tensor& targets, double scale, int64_t buffer_bytes) {
    const int64_t count = rows.size(0);
    const Matrix& matrix = head->matrix;
    const auto width = static_cast<int64_t>(c10::elementSize(ProductType(hidden)));  // bytes of a logit
    const int64_t chunk = std::max<int64_t>(1, buffer_bytes / (width * matrix.rows()));
    const bool wants_gradient = hidden.requires_grad() || head->trained;
    at::Tensor gradient, head_gradient;
    if (wants_gradient) gradient = at::zeros_like(hidden);
    if (head->trained) head_gradient = at::zeros_like(matrix.tensor);
    at::Tensor total = at::zeros({}, hidden.options().dtype(at::kDouble));
    for (int64_t begin = 0; begin < count; begin += chunk) {
      const int64_t size = std::min(chunk, count - begin);
      const at::Tensor index = rows.narrow(0, begin, size);
      const at::Tensor inputs = hidden.index_select(0, index);  // [size, H]
      at::Tensor logits = Logits(inputs, matrix);               // [size, V]
      total += LossOfLogits(logits, targets.narrow(0, begin, size), wants_gradient, scale);
      if (wants_gradient) {
        gradient.index_copy_(0, index, LogitsBackward(logits, inputs, matrix, head_gradient));
      }
    }
    if (head->trained) {
      ctx->save_for_backward({gradient, head_gradient});
    } else if (wants_gradient) {
      ctx->save_for_backward({gradient});
    }
    return (total * scale).to(at::kFloat);
  }

  static variable_list backward(AutogradContext* ctx, variable_list outputs) {
    const auto saved = ctx->get_saved_variables();
    at::Tensor head_gradient;
    if (saved.size() > 1) head_gradient = saved[1] * outputs[0];
    return {saved[0] * outputs[0].to(saved[0].scalar_type()), head_gradient, {}, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor LabelledCrossEntropy(const at::Tensor& hidden, const Matrix& head, const at::Tensor& rows,
                                const at::Tensor& targets, double scale, const LossOptions& options) {
  const bool trained = at::GradMode::is_enabled() && !head.quantized && head.tensor.requires_grad();
  const Matrix frozen = trained ? Matrix(head.tensor.detach()) : head;
  return CrossEntropy::apply(hidden, trained ? head.tensor : rows, c10::make_intrusive<Head>(frozen, trained),
                             rows, targets, scale, options.buffer_bytes);
}

}  // namespace genflow::nn::train
