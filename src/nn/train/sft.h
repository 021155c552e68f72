// The recipe: supervised fine-tuning, whichever tensors are trained. One flat function, top to bottom.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "nn/model.h"
#include "nn/train/optimizer.h"
#include "nn/train/ranks.h"
#include "nn/train/schedule.h"
#include "nn/train/sft_data.h"
#include "nn/train/trained.h"

namespace genflow::nn::train {

// Names and meanings of transformers' TrainingArguments where they exist.
struct SftOptions {
  double epochs = 1;                        // may be fractional
  int64_t max_steps = 0;                    // updates; positive: instead of epochs
  int64_t per_device_train_batch_size = 4;  // rows in a forward pass
  int64_t gradient_accumulation_steps = 1;
  OptimizerOptions optimizer;
  double loraplus_lr_ratio = 1;
  double learning_rate = 2e-4;
  Schedule lr_scheduler_type = Schedule::kCosine;
  int64_t num_decay_steps = 0;  // with warmup_stable_decay, as decay_type and min_lr_ratio
  DecayType decay_type = DecayType::kCosine;
  double min_lr_ratio = 0;
  double warmup_ratio = 0;
  int64_t warmup_steps = 0;
  double max_grad_norm = 1.0;  // 0: no clipping
  double neftune_noise_alpha = 0;
  bool shuffle = true;  // the rows, anew in each epoch
  bool packing = true;
  // Without packing: windows of rows of similar length; rows one behind the other instead of padded on the
  // right to the longest of their forward pass; and what padded lengths are a multiple of, 0: anything.
  bool group_by_length = false;
  bool padding_free = true;
  int64_t pad_to_multiple_of = 0;
  int64_t max_length = 1024;
  uint64_t seed = 42;
  int64_t eval_steps = 0;  // 0: at the end alone
  // Evaluations without a lower eval_loss than the lowest after which the training ends; 0: never.
  int64_t early_stopping_patience = 0;
  bool load_best_model_at_end = false;  // the adapter of the lowest eval_loss is the result
  bool gradient_checkpointing =
      false;  // recompute activations layer by layer: less memory, about a third slower

  // The processes that train together, all called with equal arguments: they share the rows of each window,
  // and process 0 alone writes checkpoints. Null: this one alone.
  Ranks* ranks = nullptr;
  int64_t bucket_bytes = 1 << 20;  // of gradients that are added up over processes at once, at least a layer

  std::filesystem::path state_dir;  // empty: no checkpoints
  double checkpoint_seconds = 60;   // 0: none but on a stop
  int64_t checkpoint_steps = 0;     // 0: by time alone
  std::string fingerprint;          // of model, data and options, see Checkpoint
};

// Whom the recipe tells. Members may be empty.
struct SftHooks {
  std::function<bool()> should_stop;
  std::function<void(const char* name, double value, int64_t step)> metric;
  std::function<void(uint64_t done_tokens, uint64_t total_tokens, const std::string& message)> progress;
  std::function<void(const std::string& text)> info;
  std::function<void(const std::string& text)> warn;
};

struct SftResult {
  bool interrupted = false;  // stopped on request; a checkpoint holds the state
  int64_t steps = 0, total_steps = 0;
  double epoch = 0;                       // passes over the data of `steps`
  int64_t resumed_from = 0;               // step of the checkpoint that this call started at
  double first_loss = 0, final_loss = 0;  // mean over a labelled token, of the first and last update
  double mean_loss = 0;                   // over all updates
  std::optional<double> eval_loss;
  bool stopped_early = false;
  int64_t best_step = 0;  // with load_best_model_at_end: updates of the adapter that is the result
  int64_t tokens = 0, labelled_tokens = 0;  // of all updates
  double tokens_per_second = 0;             // of this call
  double seconds = 0;                       // of this call
  double packing_efficiency = 1;            // how much of the first epoch's rows is tokens
};

// Trains the tensors of `model` that are in `trained`: a LoraSet attached as trainable, or a FullSet. Equal
// arguments give equal bytes on one number of threads and of processes, however often the run was
// interrupted; another number changes the order of sums alone, and what dropout and noise draw. Refuses a
// loss or gradient that is not finite. A process that is lost interrupts the others.
Result<SftResult> RunSft(CausalLM& model, TrainedTensors& trained, const SftExamples& train,
                         const SftExamples* eval, const SftOptions& options, const SftHooks& hooks);

}  // namespace genflow::nn::train
