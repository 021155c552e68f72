// How an adapter was trained, in two files beside it: training_args.json and trainer_state.json, under the
// names of transformers' TrainingArguments and TrainerState and of TRL's SFTConfig. Other tools pass over
// them; a trainer_state.json that transformers wrote is read too. They hold no times, so that the same
// training writes the same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"

namespace genflow::formats {

struct TrainingArgs {
  double learning_rate = 0;
  std::string lr_scheduler_type;  // "cosine"
  std::string optim = "adamw_torch_fused";
  double warmup_ratio = 0;
  int64_t warmup_steps = 0;  // positive: instead of the ratio
  double weight_decay = 0;
  double max_grad_norm = 0;  // 0: gradients are not clipped
  double num_train_epochs = 0;
  int64_t max_steps = -1;  // positive: instead of the epochs
  int64_t per_device_train_batch_size = 0;
  int64_t gradient_accumulation_steps = 1;
  int64_t max_length = 0;  // tokens in a row
  bool packing = false;
  bool gradient_checkpointing = false;
  bool bf16 = false;  // number format of the base weights; otherwise fp32
  int64_t seed = 0;
};

struct TrainerState {
  int64_t global_step = 0;               // updates
  double epoch = 0;                      // passes over the data
  int64_t num_input_tokens_seen = 0;     // 0: not counted
  int64_t num_labelled_tokens_seen = 0;  // tokens that were learned; 0: not counted
  std::optional<double> loss;            // of the last update
  std::optional<double> train_loss;      // mean over all updates
  std::optional<double> eval_loss;       // on held-out data, at the end
};

struct TrainingRecord {
  std::optional<TrainingArgs> args;
  std::optional<TrainerState> state;
};

// Writes a file for each member that is there.
Status WriteTrainingRecord(const std::filesystem::path& folder, const TrainingRecord& record);

// Without members where the folder lacks the files. kInvalid names a malformed file and key.
Result<TrainingRecord> ReadTrainingRecord(const std::filesystem::path& folder);

}  // namespace genflow::formats
