#include "nn/train/optim.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace genflow::nn::train {

AdamW::AdamW(at::Tensor parameters, const Options& options)
    : parameters_(std::move(parameters)),
      exp_avg_(at::zeros_like(parameters_)),
      exp_avg_sq_(at::zeros_like(parameters_)),
      options_(options) {}

void AdamW::Step(const at::Tensor& gradient, double lr) {
  const c10::NoGradGuard no_grad;
  ++steps_;
  const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(steps_));
  parameters_.mul_(1 - lr * options_.weight_decay);
  exp_avg_.lerp_(gradient, 1 - options_.beta1);
  exp_avg_sq_.mul_(options_.beta2).addcmul_(gradient, gradient, 1 - options_.beta2);
  const at::Tensor denominator = exp_avg_sq_.sqrt().div_(std::sqrt(correction2)).add_(options_.eps);
  parameters_.addcdiv_(exp_avg_, denominator, -lr / correction1);
}

void AdamW::Restore(int64_t steps, const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq) {
  const c10::NoGradGuard no_grad;
  steps_ = steps;
  exp_avg_.copy_(exp_avg);
  exp_avg_sq_.copy_(exp_avg_sq);
}

double ClipGradNorm(const at::Tensor& gradient, double max_norm) {
  const c10::NoGradGuard no_grad;
  const double norm = at::linalg_vector_norm(gradient, 2).item<double>();
  if (max_norm > 0) gradient.mul_(std::min(1.0, max_norm / (norm + 1e-6)));
  return norm;
}

std::optional<Schedule> ScheduleFromName(std::string_view name) {
  if (name == "constant") return Schedule::kConstant;
  if (name == "constant_with_warmup") return Schedule::kConstantWithWarmup;
  if (name == "linear") return Schedule::kLinear;
  if (name == "cosine") return Schedule::kCosine;
  return std::nullopt;
}

double LrSchedule::At(int64_t step) const {
  const auto ratio = [](int64_t part, int64_t whole) {
    return static_cast<double>(part) / static_cast<double>(std::max<int64_t>(1, whole));
  };
  if (kind_ == Schedule::kConstant) return learning_rate_;
  if (step < warmup_steps_) return learning_rate_ * ratio(step, warmup_steps_);
  if (kind_ == Schedule::kConstantWithWarmup) return learning_rate_;
  if (kind_ == Schedule::kLinear) {
    return learning_rate_ * std::max(0.0, ratio(total_steps_ - step, total_steps_ - warmup_steps_));
  }
  const double progress = ratio(step - warmup_steps_, total_steps_ - warmup_steps_);
  return learning_rate_ * std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
}

int64_t WarmupSteps(int64_t warmup_steps, double warmup_ratio, int64_t total_steps) {
  if (warmup_steps > 0) return warmup_steps;
  return static_cast<int64_t>(std::ceil(static_cast<double>(total_steps) * warmup_ratio));
}

}  // namespace genflow::nn::train
