#include "nn/train/sft_forward.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <vector>

#include "nn/guarded.h"
#include "nn/train/loss.h"
#include "nn/train/recompute.h"

namespace genflow::nn::train {

at::Tensor MicroLoss(const CausalLM& model, const MicroBatch& micro, const ForwardOptions& options) {
  const auto tensor = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(model.device());
  };
  const std::vector<int64_t> shape =
      micro.width > 0 ? std::vector<int64_t>{-1, micro.width} : std::vector<int64_t>{1, -1};
  Batch batch;
  batch.input_ids = tensor(micro.ids).view(shape);           // [1, N] or [B, width]
  batch.position_ids = tensor(micro.positions).view(shape);  // the same
  batch.cu_seqlens = micro.cu_seqlens;
  batch.dropout_seed = options.seed;
  batch.neftune_noise_alpha = options.neftune_noise_alpha;
  batch.on_layer_input = options.on_layer_input;
  const at::Tensor hidden =
      options.recompute ? HiddenRecomputed(model, batch) : model.Hidden(batch).flatten(0, 1);
  return LabelledCrossEntropy(hidden, model.head(), tensor(micro.rows), tensor(micro.targets), options.scale);
}

Result<double> EvaluateLoss(CausalLM& model, const SftExamples& examples, int64_t tokens_per_batch,
                            const std::function<bool()>& should_stop, Ranks* ranks) {
  double total = 0;
  bool stopped = false;
  GF_CHECK_OK(Guarded("evaluation", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    model.SetTraining(false);
    std::vector<uint32_t> members;
    int64_t tokens = 0, batches = 0;
    for (size_t i = 0; i < examples.size() && !stopped; ++i) {
      members.push_back(static_cast<uint32_t>(i));
      tokens += static_cast<int64_t>(examples.ids(i).size());
      if (tokens < tokens_per_batch && i + 1 < examples.size()) continue;
      if (ranks == nullptr || batches++ % ranks->size() == ranks->rank()) {
        stopped = should_stop && should_stop();
        if (!stopped) total += MicroLoss(model, Collate(examples, members), {}).item<double>();
      }
      members.clear();
      tokens = 0;
    }
    return Ok();
  }));
  if (ranks != nullptr) {
    const at::Tensor sums = at::tensor({total, stopped ? 1.0 : 0.0}, at::kDouble);
    ranks->Sum(sums);
    total = sums[0].item<double>();
    stopped = sums[1].item<double>() > 0;
  }
  if (stopped) return MakeError(Code::kInterrupted, "stopped during evaluation");
  return total / static_cast<double>(examples.labelled_tokens());
}

}  // namespace genflow::nn::train
