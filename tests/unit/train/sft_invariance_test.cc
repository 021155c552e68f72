// However a window falls into forward passes, the training is the same: as TRL tests its trainers.
#include "curves.h"

namespace genflow::nn::train {
namespace {

constexpr int kSteps = 50;

// Unequal lengths and numbers of labels; no number of rows divides them.
SftExamples Corpus() {
  return RandomExamples({9, 31, 4, 22, 15, 3, 40, 12, 7, 26, 18, 5, 33, 11, 2, 20, 28, 6, 13}, 5);
}

SftOptions Options(int64_t batch, int64_t accumulation) {
  SftOptions options;
  options.max_steps = kSteps;
  options.per_device_train_batch_size = batch;
  options.gradient_accumulation_steps = accumulation;
  options.packing = false;
  options.max_length = 48;
  options.learning_rate = 1e-2;
  options.warmup_steps = 5;
  options.optimizer.weight_decay = 0.1;
  options.max_grad_norm = 0.5;
  return options;
}

struct Trajectory {
  SftResult result;
  Curves curves;
};

Trajectory Train(const SftOptions& options, const SftExamples& corpus = Corpus()) {
  const auto model = TinyModel();
  LoraConfig config;
  config.r = 4;
  config.target_modules = TargetModules::AllLinear();
  auto lora = AttachLora(*model, config, true);
  EXPECT_TRUE(lora.ok() && InitLora(*lora, 1).ok());
  Trajectory out;
  SftHooks hooks;
  hooks.metric = Record(&out.curves);
  const auto result = RunSft(*model, *lora, corpus, nullptr, options, hooks);
  EXPECT_TRUE(result.ok()) << result.error().ToString();
  if (result.ok()) out.result = *result;
  return out;
}

// Within less than TRL's bounds.
void ExpectOneTrajectory(const Trajectory& a, const Trajectory& b) {
  EXPECT_EQ(a.curves.at("loss").size(), static_cast<size_t>(kSteps));
  ExpectCurve(a.curves, b.curves, "loss", {1e-4, 1e-5});
  ExpectCurve(a.curves, b.curves, "grad_norm", {1e-3, 1e-4});
  EXPECT_EQ(a.result.tokens, b.result.tokens);
  EXPECT_EQ(a.result.labelled_tokens, b.result.labelled_tokens);
  EXPECT_LT(a.result.final_loss, a.result.first_loss - 0.5) << "it must really learn";
}

// Windows of 6 rows, of which the last of an epoch has 1.
TEST(Invariance, BatchTimesAccumulation) {
  const Trajectory whole = Train(Options(6, 1));
  for (const auto& [batch, accumulation] : {std::pair{3, 2}, std::pair{2, 3}, std::pair{1, 6}}) {
    SCOPED_TRACE(batch);
    ExpectOneTrajectory(whole, Train(Options(batch, accumulation)));
  }
}

TEST(Invariance, GradientCheckpointing) {
  SftOptions options = Options(3, 2);
  const Trajectory kept = Train(options);
  options.gradient_checkpointing = true;
  const Trajectory recomputed = Train(options);
  EXPECT_EQ(recomputed.curves.at("loss"), kept.curves.at("loss"));
  EXPECT_EQ(recomputed.curves.at("grad_norm"), kept.curves.at("grad_norm"));
}

TEST(Invariance, Padding) {
  double ungrouped = 0;
  for (const bool group_by_length : {false, true}) {
    SftOptions options = Options(3, 2);
    options.group_by_length = group_by_length;
    const Trajectory without = Train(options);
    EXPECT_EQ(without.result.packing_efficiency, 1);
    options.padding_free = false;
    const Trajectory padded = Train(options);
    ExpectOneTrajectory(without, padded);
    EXPECT_LT(padded.result.packing_efficiency, 1);
    EXPECT_GT(padded.result.packing_efficiency, ungrouped) << "grouped, less is filled up";
    if (!group_by_length) ungrouped = padded.result.packing_efficiency + 0.05;
    options.pad_to_multiple_of = 8;
    const Trajectory rounded = Train(options);
    ExpectOneTrajectory(without, rounded);
    EXPECT_LT(rounded.result.packing_efficiency, padded.result.packing_efficiency);
    options.gradient_checkpointing = true;
    ExpectOneTrajectory(without, Train(options));
  }
}

// All examples in each window, so that what stands in a row does not decide what an update sees.
TEST(Invariance, Packing) {
  SftOptions options = Options(19, 1);
  const Trajectory rows = Train(options);
  options.padding_free = false;
  ExpectOneTrajectory(rows, Train(options));
  options = Options(2, 10);
  options.packing = true;
  ExpectOneTrajectory(rows, Train(options));
}

// Windows of 2, 2 and 1 rows with 1 to 38 labels each: the loss of a window is the mean over its labels, not
// of the means of its forward passes.
TEST(Invariance, UnequalNumbersOfLabels) {
  const SftExamples corpus = RandomExamples({40, 3, 39, 2, 38}, 3);
  const Trajectory whole = Train(Options(2, 1), corpus);
  ExpectOneTrajectory(whole, Train(Options(1, 2), corpus));
}

TEST(Invariance, GroupedByLengthAStopEndsInTheSameBytes) {
  SftOptions options = Options(3, 2);
  options.group_by_length = true;
  options.padding_free = false;
  const Trajectory whole = Train(options);
  const ScratchFolder scratch;
  options.state_dir = scratch / "state";
  options.checkpoint_steps = 11;
  options.fingerprint = "run";
  EXPECT_EQ(Train(options).curves.at("loss"), whole.curves.at("loss"));
  const Trajectory rest = Train(options);
  EXPECT_EQ(rest.result.resumed_from, 44);
  EXPECT_EQ(rest.curves.at("loss"),
            std::vector<double>(whole.curves.at("loss").begin() + 44, whole.curves.at("loss").end()));
}

TEST(Invariance, WhatDoesNotGoTogetherIsRefused) {
  for (const bool grouped : {false, true}) {
    SftOptions options = Options(3, 2);
    options.packing = true;
    options.group_by_length = grouped;
    options.padding_free = grouped;
    const auto model = TinyModel();
    LoraConfig config;
    config.target_modules.names = {"q_proj"};
    auto lora = AttachLora(*model, config, true);
    ASSERT_TRUE(lora.ok());
    const auto result = RunSft(*model, *lora, Corpus(), nullptr, options, {});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().ToString(),
              "group_by_length and padding are for rows of one example each\n  hint: set packing to false");
  }
}

}  // namespace
}  // namespace genflow::nn::train
