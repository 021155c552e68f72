#include "nn/train/sft.h"

#include <cmath>
#include <utility>

#include "nn/train/adapter.h"
#include "nn/train/recompute.h"
#include "nn/train/sft_forward.h"
#include "train_testing.h"

namespace genflow::nn::train {
namespace {

SftOptions SmallRun() {
  SftOptions options;
  options.epochs = 3;
  options.per_device_train_batch_size = 2;
  options.gradient_accumulation_steps = 2;
  options.learning_rate = 5e-3;
  options.warmup_ratio = 0.1;
  options.optimizer.weight_decay = 0.01;
  options.max_length = 48;
  options.checkpoint_seconds = 0;
  options.fingerprint = "run";
  return options;
}

SftExamples Corpus() {
  std::vector<int> lengths;
  for (int i = 0; i < 40; ++i) lengths.push_back(4 + (i * 7) % 29);
  return RandomExamples(lengths, 11);
}

struct Trained {
  SftResult result;
  std::string bytes;  // adapter_model.safetensors
};

// Trains a fresh adapter; with `stops`, asked to stop at those polls, one call after another. `evaluated`
// gets the step of every evaluation.
Trained Train(SftOptions options, std::vector<int> stops = {}, double dropout = 0.1,
              const TargetModules& targets = TargetModules::AllLinear(), const SftExamples* eval = nullptr,
              std::vector<int64_t>* evaluated = nullptr) {
  const SftExamples corpus = Corpus();
  for (size_t attempt = 0;; ++attempt) {
    const auto model = TinyModel();
    LoraConfig config;
    config.r = 4;
    config.dropout = dropout;
    config.target_modules = targets;
    auto lora = AttachLora(*model, config, true);
    EXPECT_TRUE(lora.ok());
    EXPECT_TRUE(InitLora(*lora, options.seed).ok());
    int polls = 0;
    SftHooks hooks;
    if (attempt < stops.size()) hooks.should_stop = [&] { return polls++ == stops[attempt]; };
    hooks.metric = [&](const char* name, double, int64_t step) {
      if (evaluated != nullptr && std::string(name) == "eval_loss") evaluated->push_back(step);
    };
    const auto result = RunSft(*model, *lora, corpus, eval, options, hooks);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    if (!result.ok()) return {};
    EXPECT_EQ(result->interrupted, attempt < stops.size());
    if (result->interrupted) continue;
    const ScratchFolder scratch;
    EXPECT_TRUE(SaveAdapter(*lora, scratch / "adapter").ok());
    return {*result, *ReadFile(scratch / "adapter/adapter_model.safetensors")};
  }
}

TEST(RunSft, LearnsAndCounts) {
  const SftExamples corpus = Corpus();
  SftOptions options = SmallRun();
  options.epochs = 8;
  const Trained run = Train(options);
  EXPECT_LT(run.result.final_loss, run.result.first_loss);
  EXPECT_EQ(run.result.tokens, 8 * corpus.tokens());
  EXPECT_EQ(run.result.labelled_tokens, 8 * corpus.labelled_tokens());
  EXPECT_EQ(run.result.steps, run.result.total_steps);
  EXPECT_EQ(run.result.epoch, 8);
  EXPECT_GT(run.result.packing_efficiency, 0.9);
  EXPECT_LE(run.result.packing_efficiency, 1);
}

TEST(RunSft, InterruptedAnywhereGivesTheSameBytes) {
  SftOptions options = SmallRun();
  const Trained whole = Train(options);
  ASSERT_GE(whole.result.total_steps, 12);
  ASSERT_EQ(Train(options).bytes, whole.bytes) << "a run must repeat itself first";
  // A stop at poll 2k falls on a step's first micro-batch, at 2k + 1 on its second.
  const std::vector<std::vector<int>> cases = {{0}, {1}, {5}, {12, 7}, {3, 0, 1, 4}};
  const ScratchFolder scratch;
  for (size_t i = 0; i < cases.size(); ++i) {
    options.state_dir = scratch / ("state" + std::to_string(i));
    const Trained run = Train(options, cases[i]);
    EXPECT_EQ(run.bytes, whole.bytes) << "case " << i;
    EXPECT_EQ(run.result.final_loss, whole.result.final_loss) << "case " << i;
    EXPECT_EQ(run.result.mean_loss, whole.result.mean_loss) << "case " << i;
    EXPECT_EQ(run.result.tokens, whole.result.tokens) << "case " << i;
    EXPECT_EQ(run.result.labelled_tokens, whole.result.labelled_tokens) << "case " << i;
  }
}

TEST(RunSft, ContinuesFromACheckpointByStepsAfterACrash) {
  SftOptions options = SmallRun();
  const Trained whole = Train(options);
  const ScratchFolder scratch;
  options.state_dir = scratch / "state";
  options.checkpoint_steps = 3;
  EXPECT_EQ(Train(options).bytes, whole.bytes);
  // What that run left behind is what a crash after its last checkpoint would have.
  const Trained again = Train(options);
  EXPECT_GT(again.result.resumed_from, 0);
  EXPECT_EQ(again.result.resumed_from % 3, 0);
  EXPECT_EQ(again.bytes, whole.bytes);
  options.fingerprint = "another";
  options.learning_rate *= 2;
  const Trained other = Train(options);
  EXPECT_EQ(other.result.resumed_from, 0) << "a checkpoint of another run is not used";
  EXPECT_NE(other.bytes, whole.bytes);
  const Trained other_again = Train(options);
  EXPECT_GT(other_again.result.resumed_from, 0) << "its own checkpoints take the place of the others'";
  EXPECT_EQ(other_again.bytes, other.bytes);
}

TEST(RunSft, AStopDuringAnEvaluationLosesNoEvaluation) {
  const SftExamples eval = RandomExamples({9, 20, 14, 30, 31, 32, 33}, 99);
  SftOptions options = SmallRun();
  options.eval_steps = 4;
  std::vector<int64_t> all;
  const Trained whole = Train(options, {}, 0.1, TargetModules::AllLinear(), &eval, &all);
  ASSERT_GE(all.size(), 3u);
  const ScratchFolder scratch;
  // Four updates of two micro-batches poll eight times; the ninth poll is the evaluation's.
  for (const int stop : {8, 9}) {
    options.state_dir = scratch / std::to_string(stop);
    std::vector<int64_t> evaluated;
    const Trained run = Train(options, {stop}, 0.1, TargetModules::AllLinear(), &eval, &evaluated);
    EXPECT_EQ(evaluated, all) << "stopped at poll " << stop;
    EXPECT_EQ(run.bytes, whole.bytes);
    EXPECT_EQ(run.result.eval_loss, whole.result.eval_loss);
  }
}

TEST(RunSft, SeedsDecide) {
  SftOptions options = SmallRun();
  const Trained first = Train(options);
  options.seed = 43;
  EXPECT_NE(Train(options).bytes, first.bytes);
}

TEST(RunSft, RecomputingChangesNothingWithoutDropout) {
  SftOptions options = SmallRun();
  options.epochs = 1;
  const Trained kept = Train(options, {}, 0);
  options.gradient_checkpointing = true;
  const Trained recomputed = Train(options, {}, 0);
  EXPECT_EQ(recomputed.bytes, kept.bytes);
}

TEST(RunSft, RecomputesLayersThatAreNotAdapted) {
  SftOptions options = SmallRun();
  options.epochs = 1;
  for (const char* pattern : {".*layers\\.0\\..*", ".*layers\\.1\\..*"}) {
    options.gradient_checkpointing = false;
    const Trained kept = Train(options, {}, 0.1, {{}, pattern});
    options.gradient_checkpointing = true;
    EXPECT_EQ(Train(options, {}, 0.1, {{}, pattern}).bytes, kept.bytes) << pattern;
  }
}

TEST(HiddenRecomputed, BothPassesDropTheSame) {
  const auto gradient = [](bool recompute, uint64_t seed) {
    const auto model = TinyModel();
    LoraConfig config;
    config.dropout = 0.3;
    config.target_modules = TargetModules::AllLinear();
    auto lora = AttachLora(*model, config, true);
    EXPECT_TRUE(lora.ok());
    at::manual_seed(3);
    lora->flat().normal_(0, 0.1);
    model->SetTraining(true);
    Batch batch;
    batch.input_ids = at::arange(24).unsqueeze(0);
    batch.cu_seqlens = {0, 24};
    batch.dropout_seed = seed;
    const at::Tensor hidden =
        recompute ? HiddenRecomputed(*model, batch) : model->Hidden(batch).flatten(0, 1);
    hidden.square().sum().backward();
    return lora->flat_grad().clone();
  };
  EXPECT_TRUE(at::equal(gradient(true, 17), gradient(false, 17)));
  EXPECT_FALSE(at::equal(gradient(true, 17), gradient(true, 18)));
}

// Trains on one corpus and evaluates on another, which has nothing in common with it: soon that gets worse.
Trained Overfit(SftOptions options, std::vector<int> stops, std::vector<int64_t>* evaluated) {
  const SftExamples eval = RandomExamples({9, 20, 14}, 99);
  options.learning_rate = 3e-2;
  options.lr_scheduler_type = Schedule::kConstant;
  options.warmup_ratio = 0;
  options.max_steps = 60;
  options.eval_steps = 3;
  return Train(options, std::move(stops), 0, TargetModules::AllLinear(), &eval, evaluated);
}

TEST(RunSft, EndsEarlyAndKeepsTheBest) {
  std::vector<int64_t> evaluated;
  SftOptions options = SmallRun();
  options.early_stopping_patience = 3;
  options.load_best_model_at_end = true;
  const Trained run = Overfit(options, {}, &evaluated);
  EXPECT_TRUE(run.result.stopped_early);
  EXPECT_LT(run.result.steps, 60);
  EXPECT_EQ(run.result.steps, run.result.best_step + 3 * 3)
      << "three evaluations without a lower loss, and none after";
  EXPECT_EQ(evaluated.back(), run.result.steps - 1);

  // What it returns is the adapter of that step.
  options.early_stopping_patience = 0;
  options.load_best_model_at_end = false;
  options.max_steps = run.result.best_step;
  const SftExamples eval = RandomExamples({9, 20, 14}, 99);
  options.learning_rate = 3e-2;
  options.lr_scheduler_type = Schedule::kConstant;
  options.warmup_ratio = 0;
  const Trained until_then = Train(options, {}, 0, TargetModules::AllLinear(), &eval);
  EXPECT_EQ(until_then.bytes, run.bytes);
  EXPECT_EQ(until_then.result.eval_loss, run.result.eval_loss);
}

TEST(RunSft, InterruptedItEndsEarlyAtTheSameStep) {
  SftOptions options = SmallRun();
  options.early_stopping_patience = 3;
  options.load_best_model_at_end = true;
  const Trained whole = Overfit(options, {}, nullptr);
  const ScratchFolder scratch;
  options.state_dir = scratch / "state";
  const Trained parts = Overfit(options, {2, 5, 3, 1}, nullptr);
  EXPECT_EQ(parts.bytes, whole.bytes);
  EXPECT_EQ(parts.result.steps, whole.result.steps);
  EXPECT_EQ(parts.result.best_step, whole.result.best_step);
}

TEST(RunSft, EveryOptimizerContinuesToTheSameBytes) {
  for (const OptimizerKind kind :
       {OptimizerKind::kAdamW, OptimizerKind::kAdamW8bit, OptimizerKind::kAdafactor}) {
    SftOptions options = SmallRun();
    options.optimizer.kind = kind;
    options.loraplus_lr_ratio = 4;
    options.neftune_noise_alpha = 5;
    const Trained whole = Train(options);
    const ScratchFolder scratch;
    options.state_dir = scratch / "state";
    EXPECT_EQ(Train(options, {3, 1, 7}).bytes, whole.bytes) << static_cast<int>(kind);
    options.gradient_checkpointing = true;
    options.state_dir.clear();
    EXPECT_EQ(Train(options).bytes, whole.bytes) << static_cast<int>(kind);
  }
}

TEST(Neftune, NoiseHasItsSizeAndIsOfTrainingAlone) {
  const auto model = TinyModel();
  Batch batch;
  batch.input_ids = at::arange(60).unsqueeze(0);
  batch.cu_seqlens = {0, 10, 60};
  const at::Tensor plain = model->Embed(batch);
  batch.neftune_noise_alpha = 5;
  batch.dropout_seed = 3;
  const at::Tensor noise = model->Embed(batch) - plain;
  const double hidden = static_cast<double>(plain.size(1));
  for (const auto& [begin, length] : {std::pair{0, 10}, std::pair{10, 50}}) {
    const at::Tensor part = noise.narrow(0, begin, length);
    const double bound = 5 / std::sqrt(length * hidden);
    EXPECT_LE(part.abs().max().item<double>(), bound * 1.001);
    EXPECT_NEAR(part.square().mean().sqrt().item<double>(), bound / std::sqrt(3.0), 0.1 * bound);
  }
  EXPECT_TRUE(at::equal(model->Embed(batch), plain + noise) ||
              at::allclose(model->Embed(batch), plain + noise));
  batch.dropout_seed = 4;
  EXPECT_FALSE(at::allclose(model->Embed(batch), plain + noise));
}

TEST(RunSft, EvaluatesHeldOutExamplesAndMaxStepsWins) {
  const SftExamples eval = RandomExamples({9, 20, 14}, 99);
  SftOptions options = SmallRun();
  options.max_steps = 5;
  options.eval_steps = 2;
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_proj"};
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok());
  ASSERT_TRUE(InitLora(*lora, 1).ok());
  std::vector<int64_t> evaluated;
  std::vector<uint64_t> progress;
  uint64_t total = 0;
  SftHooks hooks;
  hooks.metric = [&](const char* name, double, int64_t step) {
    if (std::string(name) == "eval_loss") evaluated.push_back(step);
  };
  hooks.progress = [&](uint64_t done, uint64_t of, const std::string&) {
    progress.push_back(done);
    total = of;
  };
  const auto result = RunSft(*model, *lora, Corpus(), &eval, options, hooks);
  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_EQ(result->steps, 5);
  EXPECT_EQ(evaluated, (std::vector<int64_t>{1, 3, 4}));
  EXPECT_EQ(progress.back(), total) << "progress ends at its total";
  EXPECT_EQ(static_cast<int64_t>(total), result->tokens);
  const auto again = EvaluateLoss(*model, eval, 16, nullptr);
  ASSERT_TRUE(again.ok());
  EXPECT_NEAR(*again, *result->eval_loss, 1e-5) << "however the examples fall into batches";
}

TEST(RunSft, RefusesNumbersThatAreNotFinite) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_proj"};
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok());
  lora->flat().fill_(1e30);
  const auto result = RunSft(*model, *lora, Corpus(), nullptr, SmallRun(), {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().ToString(),
            "the loss of step 1 is not finite\n  hint: lower learning_rate, or lengthen the warm-up");
}

TEST(RunSft, RefusesExamplesThatDoNotFitTheModel) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_proj"};
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok());
  const auto longer = RunSft(*model, *lora, RandomExamples({129}, 1), nullptr, SmallRun(), {});
  ASSERT_FALSE(longer.ok());
  EXPECT_EQ(longer.error().ToString(),
            "dataset: an example has 129 tokens, and the model's context is 128\n"
            "  hint: set max_length to at most the model's context");
  const SftExamples held_out = RandomExamples({129}, 1);
  const auto longer_eval = RunSft(*model, *lora, Corpus(), &held_out, SmallRun(), {});
  ASSERT_FALSE(longer_eval.ok());
  EXPECT_EQ(longer_eval.error().message,
            "eval_dataset: an example has 129 tokens, and the model's context is 128");
  SftExamples foreign;
  foreign.Append(std::vector<int32_t>{1, 131}, std::vector<uint8_t>{0, 1});
  const auto vocabulary = RunSft(*model, *lora, foreign, nullptr, SmallRun(), {});
  ASSERT_FALSE(vocabulary.ok());
  EXPECT_EQ(vocabulary.error().message,
            "dataset: the examples hold token 131, and the model's vocabulary ends at 130");
}

TEST(RunSft, Bf16BaseKeepsAnFp32Adapter) {
  const auto model = TinyModel(at::kBFloat16);
  LoraConfig config;
  config.target_modules = TargetModules::AllLinear();
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok());
  ASSERT_TRUE(InitLora(*lora, 1).ok());
  SftOptions options = SmallRun();
  options.epochs = 8;
  const auto result = RunSft(*model, *lora, Corpus(), nullptr, options, {});
  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_EQ(lora->flat().scalar_type(), at::kFloat);
  EXPECT_LT(result->final_loss, result->first_loss);
}

}  // namespace
}  // namespace genflow::nn::train
