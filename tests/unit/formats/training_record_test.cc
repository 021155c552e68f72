#include "formats/training_record.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "testing/scratch.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;

TrainingRecord Record() {
  TrainingRecord record;
  record.args = {.learning_rate = 2e-4,
                 .lr_scheduler_type = "cosine",
                 .warmup_ratio = 0.03,
                 .max_grad_norm = 1,
                 .num_train_epochs = 2,
                 .max_steps = 0,
                 .per_device_train_batch_size = 4,
                 .gradient_accumulation_steps = 2,
                 .max_length = 512,
                 .packing = true,
                 .bf16 = true,
                 .seed = 42};
  record.state = {.global_step = 310,
                  .epoch = 2,
                  .num_input_tokens_seen = 1234567,
                  .num_labelled_tokens_seen = 345678,
                  .loss = 1.25,
                  .train_loss = 1.5,
                  .eval_loss = 1.375};
  return record;
}

TEST(TrainingRecord, HasTheNamesOfTransformersAndNoTimes) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(WriteTrainingRecord(folder, Record()).ok());
  EXPECT_EQ(ReadFile(folder / "training_args.json").value(), R"({
  "assistant_only_loss": true,
  "bf16": true,
  "gradient_accumulation_steps": 2,
  "gradient_checkpointing": false,
  "learning_rate": 0.0002,
  "lr_scheduler_type": "cosine",
  "max_grad_norm": 1.0,
  "max_length": 512,
  "max_steps": -1,
  "num_train_epochs": 2.0,
  "optim": "adamw_torch_fused",
  "packing": true,
  "per_device_train_batch_size": 4,
  "seed": 42,
  "warmup_ratio": 0.03,
  "warmup_steps": 0,
  "weight_decay": 0.0
}
)");
  EXPECT_EQ(ReadFile(folder / "trainer_state.json").value(), R"({
  "epoch": 2.0,
  "global_step": 310,
  "log_history": [
    {
      "epoch": 2.0,
      "loss": 1.25,
      "step": 310
    },
    {
      "epoch": 2.0,
      "eval_loss": 1.375,
      "step": 310
    },
    {
      "epoch": 2.0,
      "step": 310,
      "train_loss": 1.5
    }
  ],
  "max_steps": 310,
  "num_input_tokens_seen": 1234567,
  "num_labelled_tokens_seen": 345678
}
)");
}

TEST(TrainingRecord, IsReadBack) {
  const ScratchFolder scratch, scratch_again;
  const fs::path folder = scratch.path(), again = scratch_again.path();
  ASSERT_TRUE(WriteTrainingRecord(folder, Record()).ok());
  const auto read = ReadTrainingRecord(folder);
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  ASSERT_TRUE(WriteTrainingRecord(again, *read).ok());
  for (const char* file : {"training_args.json", "trainer_state.json"})
    EXPECT_EQ(ReadFile(again / file).value(), ReadFile(folder / file).value());
}

TEST(TrainingRecord, FolderWithoutOne) {
  const ScratchFolder empty;
  const auto none = ReadTrainingRecord(empty.path());
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->args.has_value());
  EXPECT_FALSE(none->state.has_value());
}

// As transformers' Trainer writes it into a checkpoint.
TEST(TrainingRecord, StateOfTransformers) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(WriteFileAtomic(folder / "trainer_state.json", R"({
  "best_metric": null, "epoch": 1.5, "global_step": 30, "is_local_process_zero": true,
  "log_history": [
    {"epoch": 0.5, "grad_norm": 1.1, "learning_rate": 0.0002, "loss": 2.5, "step": 10},
    {"epoch": 1.0, "grad_norm": 0.9, "learning_rate": 0.0001, "loss": 2.25, "step": 20},
    {"epoch": 1.0, "eval_loss": 2.375, "eval_runtime": 1.0, "step": 20}
  ],
  "max_steps": 40, "num_input_tokens_seen": 0, "num_train_epochs": 2, "total_flos": 1e15})")
                  .ok());
  const auto read = ReadTrainingRecord(folder);
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_FALSE(read->args.has_value());
  ASSERT_TRUE(read->state.has_value());
  EXPECT_EQ(read->state->global_step, 30);
  EXPECT_EQ(read->state->epoch, 1.5);
  EXPECT_EQ(read->state->loss, 2.25);
  EXPECT_EQ(read->state->eval_loss, 2.375);
  EXPECT_FALSE(read->state->train_loss.has_value());
}

TEST(TrainingRecord, MalformedFilesAreNamed) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  const auto error = [&](const char* file, const char* text) {
    EXPECT_TRUE(WriteFileAtomic(folder / file, text).ok());
    const auto read = ReadTrainingRecord(folder);
    return read.ok() ? "" : read.error().ToString();
  };
  const std::string name = "'" + (folder / "training_args.json").string() + "'";
  EXPECT_EQ(error("training_args.json", "[]"), name + " is not a JSON object");
  EXPECT_EQ(error("training_args.json", R"({"learning_rate": "fast"})"),
            name + ": learning_rate is \"fast\", expected a number");
  EXPECT_EQ(error("training_args.json", R"({"packing": 1})"),
            name + ": packing is 1, expected true or false");
  EXPECT_EQ(error("training_args.json", R"({"lr_scheduler_type": 1})"),
            name + ": lr_scheduler_type is 1, expected a text");
}

}  // namespace
}  // namespace genflow::formats
