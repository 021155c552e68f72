// AdamW, gradient clipping and learning-rate schedules, each equal to its torch or transformers counterpart.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::nn::train {

// AdamW with decoupled weight decay (Loshchilov & Hutter 2019) and bias correction, the arithmetic of
// torch.optim.AdamW, over one flat fp32 buffer.
class AdamW {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.999;
    double eps = 1e-8;
    double weight_decay = 0.0;
  };

  // `parameters` [n] fp32 is updated in place by Step().
  AdamW(at::Tensor parameters, const Options& options);

  // One update with `gradient` [n] at learning rate `lr`.
  void Step(const at::Tensor& gradient, double lr);

  // For checkpoints: updates so far and the running moments, [n] fp32 each.
  int64_t steps() const { return steps_; }
  const at::Tensor& exp_avg() const { return exp_avg_; }
  const at::Tensor& exp_avg_sq() const { return exp_avg_sq_; }
  void Restore(int64_t steps, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq);

 private:
  at::Tensor parameters_, exp_avg_, exp_avg_sq_;
  Options options_;
  int64_t steps_ = 0;
};

// Scales `gradient` in place so that its 2-norm is at most max_norm, as torch.nn.utils.clip_grad_norm_;
// max_norm 0: leaves it alone. Returns the norm before.
double ClipGradNorm(const at::Tensor& gradient, double max_norm);

// transformers' get_scheduler, by its names.
enum class Schedule { kConstant, kConstantWithWarmup, kLinear, kCosine };
std::optional<Schedule> ScheduleFromName(std::string_view name);

class LrSchedule {
 public:
  LrSchedule(Schedule kind, double learning_rate, int64_t warmup_steps, int64_t total_steps)
      : kind_(kind), learning_rate_(learning_rate), warmup_steps_(warmup_steps), total_steps_(total_steps) {}

  // Learning rate of update `step`, counted from 0.
  double At(int64_t step) const;

 private:
  Schedule kind_;
  double learning_rate_;
  int64_t warmup_steps_, total_steps_;
};

// transformers' TrainingArguments.get_warmup_steps: `warmup_steps` where positive, else the ratio's share
// of the total, rounded up.
int64_t WarmupSteps(int64_t warmup_steps, double warmup_ratio, int64_t total_steps);

}  // namespace genflow::nn::train
