#include "nn/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace genflow::nn::train {
namespace {

double Ratio(int64_t part, int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<int64_t>(1, whole));
}

}  // namespace

std::optional<Schedule> ScheduleFromName(std::string_view name) {
  if (name == "constant") return Schedule::kConstant;
  if (name == "constant_with_warmup") return Schedule::kConstantWithWarmup;
  if (name == "linear") return Schedule::kLinear;
  if (name == "cosine") return Schedule::kCosine;
  if (name == "warmup_stable_decay") return Schedule::kWarmupStableDecay;
  return std::nullopt;
}

std::optional<DecayType> DecayTypeFromName(std::string_view name) {
  if (name == "linear") return DecayType::kLinear;
  if (name == "cosine") return DecayType::kCosine;
  if (name == "1-sqrt") return DecayType::kOneMinusSqrt;
  return std::nullopt;
}

double LrSchedule::StableDecay(int64_t step) const {
  const auto above_least = [&](double factor) {
    return std::max(0.0, factor * (1 - o_.min_lr_ratio) + o_.min_lr_ratio);
  };
  if (step < o_.warmup_steps) return above_least(Ratio(step, o_.warmup_steps));
  const int64_t decay_begin = std::max(o_.warmup_steps, o_.total_steps - o_.decay_steps);
  if (step < decay_begin) return 1;
  if (step >= decay_begin + o_.decay_steps) return o_.min_lr_ratio;
  const double progress = Ratio(step - decay_begin, o_.decay_steps);
  switch (o_.decay_type) {
    case DecayType::kLinear:
      return above_least(1 - progress);
    case DecayType::kCosine:
      return above_least(0.5 * (1 + std::cos(std::numbers::pi * progress)));
    case DecayType::kOneMinusSqrt:
      return above_least(1 - std::sqrt(progress));
  }
  return 1;
}

double LrSchedule::At(int64_t step) const {
  const double rate = o_.learning_rate;
  if (o_.kind == Schedule::kConstant) return rate;
  if (o_.kind == Schedule::kWarmupStableDecay) return rate * StableDecay(step);
  if (step < o_.warmup_steps) return rate * Ratio(step, o_.warmup_steps);
  if (o_.kind == Schedule::kConstantWithWarmup) return rate;
  const int64_t rest = o_.total_steps - o_.warmup_steps;
  if (o_.kind == Schedule::kLinear) return rate * std::max(0.0, Ratio(o_.total_steps - step, rest));
  return rate * std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * Ratio(step - o_.warmup_steps, rest))));
}

int64_t WarmupSteps(int64_t warmup_steps, double warmup_ratio, int64_t total_steps) {
  if (warmup_steps > 0) return warmup_steps;
  return static_cast<int64_t>(std::ceil(static_cast<double>(total_steps) * warmup_ratio));
}

}  // namespace genflow::nn::train
