// train.lora
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "genflow/plugin.hpp"
#include "nn/train/lora.h"

namespace genflow::stages {

struct TrainLora {
  static constexpr const char* kName = "train.lora";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary = "Fine-tunes a LoRA adapter on conversations or texts.";

  int64_t r = 0;
  double alpha = 0, dropout = 0;
  json::Value target_modules, exclude_modules, layers_to_transform, rank_pattern, alpha_pattern;
  bool use_rslora = false;
  std::string optim, decay_type;
  double adam_beta1 = 0, adam_beta2 = 0, adam_epsilon = 0, loraplus_lr_ratio = 0, min_lr_ratio = 0,
         neftune_noise_alpha = 0;
  int64_t num_decay_steps = 0, early_stopping_patience = 0;
  bool load_best_model_at_end = false;
  double epochs = 0, learning_rate = 0, warmup_ratio = 0, weight_decay = 0, max_grad_norm = 0;
  int64_t max_steps = 0, warmup_steps = 0, batch = 0, accumulation = 0, max_length = 0, seed = 0,
          eval_steps = 0;
  std::string lr_scheduler_type, dtype, device, on_too_long;
  bool packing = true, gradient_checkpointing = false;
  double checkpoint_interval = 0;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);

 private:
  Result<nn::train::LoraConfig> Lora() const;
};

}  // namespace genflow::stages
