#include "nn/train/loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace genflow::nn::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& head,
                            const at::Tensor& rows, const at::Tensor& targets, double scale,
                            int64_t buffer_bytes) {
    const int64_t count = rows.size(0);
    const int64_t chunk = std::max<int64_t>(1, buffer_bytes / (4 * head.size(0)));
    const bool wants_gradient = hidden.requires_grad();
    at::Tensor gradient;
    if (wants_gradient) gradient = at::zeros_like(hidden);
    at::Tensor total = at::zeros({}, hidden.options().dtype(at::kDouble));
    for (int64_t begin = 0; begin < count; begin += chunk) {
      const int64_t size = std::min(chunk, count - begin);
      const at::Tensor index = rows.narrow(0, begin, size);
      const at::Tensor target = targets.narrow(0, begin, size).unsqueeze(1);  // [size, 1]
      const at::Tensor inputs = hidden.index_select(0, index);                // [size, H]
      at::Tensor logits = at::linear(inputs, head).to(at::kFloat);            // [size, V]
      const at::Tensor at_target = logits.gather(1, target);                  // [size, 1]
      if (!wants_gradient) {
        total += (logits.logsumexp(1, /*keepdim=*/true) - at_target).sum(at::kDouble);
        continue;
      }
      // d loss / d logits = softmax - one-hot, made where the logits stand.
      const at::Tensor peak = logits.amax(1, /*keepdim=*/true);
      logits.sub_(peak).exp_();
      const at::Tensor sum = logits.sum(1, /*keepdim=*/true);
      total += (sum.log() + peak - at_target).sum(at::kDouble);
      logits.mul_(scale / sum);
      logits.scatter_add_(1, target, at::full({size, 1}, -scale, logits.options()));
      gradient.index_copy_(0, index, at::mm(logits.to(head.scalar_type()), head));
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
