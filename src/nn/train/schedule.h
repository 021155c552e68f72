// Learning-rate schedules, each equal to transformers' of the same name.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace genflow::nn::train {

// Names of transformers' get_scheduler.
enum class Schedule { kConstant, kConstantWithWarmup, kLinear, kCosine, kWarmupStableDecay };
std::optional<Schedule> ScheduleFromName(std::string_view name);

// How the learning rate falls at the end of kWarmupStableDecay, by transformers' names.
enum class DecayType { kLinear, kCosine, kOneMinusSqrt };
std::optional<DecayType> DecayTypeFromName(std::string_view name);

struct ScheduleOptions {
  Schedule kind = Schedule::kCosine;
  double learning_rate = 2e-4;
  int64_t warmup_steps = 0;
  int64_t total_steps = 0;
  // Of kWarmupStableDecay: updates of the decay, before which the rate is constant; its form; what is left.
  int64_t decay_steps = 0;
  DecayType decay_type = DecayType::kCosine;
  double min_lr_ratio = 0;
};

class LrSchedule {
 public:
  explicit LrSchedule(const ScheduleOptions& options) : o_(options) {}

  // Learning rate of update `step`, counted from 0.
  double At(int64_t step) const;

 private:
  double StableDecay(int64_t step) const;
  ScheduleOptions o_;
};

// transformers' TrainingArguments.get_warmup_steps: `warmup_steps` where positive, else the ratio's share
// of the total, rounded up.
int64_t WarmupSteps(int64_t warmup_steps, double warmup_ratio, int64_t total_steps);

}  // namespace genflow::nn::train
