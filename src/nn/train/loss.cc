#include "nn/train/loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "nn/device.h"
#include "nn/fused.h"
#include "nn/linear.h"

namespace genflow::nn::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Whether products with the head are in bf16.
bool MultipliesNarrow(const at::Tensor& head) {
  return head.scalar_type() == at::kBFloat16 && (!head.is_cpu() || MultipliesBf16());
}

// Calls work(begin, slice) for the rows of the head in the type in which this machine multiplies them best:
// the head itself, or fp32 copies of a few rows at a time.
template <class Work>
void ForHeadSlices(const at::Tensor& head, const Work& work) {
  constexpr int64_t kSliceBytes = 16 << 20;
  if (head.scalar_type() != at::kBFloat16 || MultipliesNarrow(head)) {
    work(0, head);
    return;
  }
  const int64_t slice = std::max<int64_t>(1, kSliceBytes / (4 * head.size(1)));
  for (int64_t begin = 0; begin < head.size(0); begin += slice) {
    work(begin, head.narrow(0, begin, std::min(slice, head.size(0) - begin)).to(at::kFloat));
  }
}

// x [size, H] -> its logits [size, V], in the type in which they were multiplied.
at::Tensor Logits(const at::Tensor& x, const at::Tensor& head) {
  at::Tensor logits;
  ForHeadSlices(head, [&](int64_t begin, const at::Tensor& slice) {
    if (slice.size(0) == head.size(0)) {
      logits = MultiplyTransposed(x.to(slice.scalar_type()), slice);
      return;
    }
    if (begin == 0) logits = at::empty({x.size(0), head.size(0)}, x.options().dtype(at::kFloat));
    at::Tensor part = logits.narrow(1, begin, slice.size(0));
    at::mm_out(part, x.to(at::kFloat), slice.t());
  });
  return logits;
}

// The gradient of x [size, H] from that of its logits.
at::Tensor LogitsBackward(const at::Tensor& gradient, const at::Tensor& head) {
  at::Tensor out;
  ForHeadSlices(head, [&](int64_t begin, const at::Tensor& slice) {
    const at::Tensor part = gradient.narrow(1, begin, slice.size(0)).to(slice.scalar_type());
    if (begin == 0) {
      out = Multiply(part, slice);
    } else {
      out.addmm_(part, slice);
    }
  });
  return out.to(head.scalar_type());
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

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& head,
                            const at::Tensor& rows, const at::Tensor& targets, double scale,
                            int64_t buffer_bytes) {
    const int64_t count = rows.size(0);
    const int64_t width = MultipliesNarrow(head) ? 2 : 4;  // bytes of a logit
    const int64_t chunk = std::max<int64_t>(1, buffer_bytes / (width * head.size(0)));
    const bool wants_gradient = hidden.requires_grad();
    at::Tensor gradient;
    if (wants_gradient) gradient = at::zeros_like(hidden);
    at::Tensor total = at::zeros({}, hidden.options().dtype(at::kDouble));
    for (int64_t begin = 0; begin < count; begin += chunk) {
      const int64_t size = std::min(chunk, count - begin);
      const at::Tensor index = rows.narrow(0, begin, size);
      const at::Tensor inputs = hidden.index_select(0, index);  // [size, H]
      at::Tensor logits = Logits(inputs, head);                 // [size, V]
      total += LossOfLogits(logits, targets.narrow(0, begin, size), wants_gradient, scale);
      if (wants_gradient) gradient.index_copy_(0, index, LogitsBackward(logits, head));
    }
    if (wants_gradient) ctx->save_for_backward({gradient});
    return (total * scale).to(at::kFloat);
  }

  static variable_list backward(AutogradContext* ctx, variable_list outputs) {
    const at::Tensor gradient = ctx->get_saved_variables()[0];
    return {gradient * outputs[0].to(gradient.scalar_type()), {}, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor LabelledCrossEntropy(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& rows,
                                const at::Tensor& targets, double scale, const LossOptions& options) {
  return CrossEntropy::apply(hidden, head, rows, targets, scale, options.buffer_bytes);
}

}  // namespace genflow::nn::train
