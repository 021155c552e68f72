// train.lora and train.full
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "adapter/lora_config.h"
#include "base/result.h"
#include "genflow/plugin.hpp"
#include "nn/train/lora.h"
#include "nn/train/sft_data.h"

namespace genflow::stages {

// What every training is told, and its course.
struct Training {
  std::string optim, decay_type;
  double adam_beta1 = 0, adam_beta2 = 0, adam_epsilon = 0, loraplus_lr_ratio = 1, min_lr_ratio = 0,
         neftune_noise_alpha = 0;
  int64_t num_decay_steps = 0, early_stopping_patience = 0;
  bool load_best_model_at_end = false;
  double epochs = 0, learning_rate = 0, warmup_ratio = 0, weight_decay = 0, max_grad_norm = 0;
  int64_t max_steps = 0, warmup_steps = 0, batch = 0, accumulation = 0, max_length = 0, seed = 0,
          eval_steps = 0;
  std::string lr_scheduler_type, dtype, device, on_too_long;
  bool packing = true, group_by_length = false, padding_free = true, gradient_checkpointing = false;
  int64_t pad_to_multiple_of = 0;
  double checkpoint_interval = 0;

 protected:
  // What is trained of the model, and what becomes of it.
  struct Method {
    nn::Quantization quantization = nn::Quantization::kNone;
    at::ScalarType weights = at::kFloat;  // the type in which the model is loaded
    bool keeps_base = true;               // nothing is written to the weights that are loaded
    // Refuses what cannot fit into memory. May be empty.
    std::function<Status(const formats::ModelSource& source, const nn::train::SftExamples& train)> fits;
    // Makes it trainable, and says in `note` what was made.
    std::function<nn::train::TrainedTensors&(nn::CausalLM& model, std::string* note)> attach;
    const char* output;  // the port
    std::function<void(const formats::ModelSource& source, const std::string& folder)> save;
  };

  void DeclareInputs(Spec& spec);
  void DeclareTraining(Spec& spec, double default_learning_rate, const char* dtype_doc);
  std::string CheckTraining() const;
  // `choose` gets the type that the model computes in.
  Outcome Train(Context& context, const std::function<Method(at::ScalarType dtype)>& choose);
};

struct TrainLora : Training {
  static constexpr const char* kName = "train.lora";
  static constexpr const char* kVersion = "1.2.0";
  static constexpr bool kProcesses = true;
  static constexpr const char* kSummary = "Fine-tunes a LoRA adapter on conversations or texts.";

  int64_t r = 0;
  double alpha = 0, dropout = 0;
  json::Value target_modules, exclude_modules, layers_to_transform, rank_pattern, alpha_pattern,
      init_lora_weights;
  std::vector<std::string> modules_to_save;
  bool use_rslora = false, use_dora = false;
  std::string quantization;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);

 private:
  Result<adapter::LoraConfig> Lora() const;
};

// Every weight of the model is trained, and the result is a model.
struct TrainFull : Training {
  static constexpr const char* kName = "train.full";
  static constexpr const char* kVersion = "1.0.0";
  static constexpr const char* kSummary = "Fine-tunes every weight of a model on conversations or texts.";

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
