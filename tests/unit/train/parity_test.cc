// LoRA gradients and a loss curve against PEFT: tests/parity/train_fixtures.py.
#include "curves.h"
#include "nn/train/loss.h"
#include "nn/train/recompute.h"
#include "nn/train/sft.h"
#include "train_testing.h"

namespace genflow::nn::train {
namespace {

LoraConfig ConfigOf(const std::string& setting) {
  LoraConfig config;
  if (setting == "all_linear") {
    config.r = 4;
    config.alpha = 8;
    config.target_modules = TargetModules::AllLinear();
  } else if (setting == "attention") {
    config.r = 3;
    config.alpha = 5;
    config.target_modules.names = {"q_proj", "v_proj"};
    config.use_rslora = true;
  } else {
    config.r = 2;
    config.alpha = 2;
    config.target_modules.pattern = R"(.*\.1\.mlp\.(gate|down)_proj)";
  }
  return config;
}

// All examples in one packed micro-batch.
at::Tensor PackedLoss(const CausalLM& model, const SftExamples& examples, bool recompute) {
  std::vector<uint32_t> members;
  for (uint32_t i = 0; i < examples.size(); ++i) members.push_back(i);
  const MicroBatch micro = Collate(examples, members);
  Batch batch;
  batch.input_ids = at::tensor(micro.ids, at::kLong).unsqueeze(0);
  batch.position_ids = at::tensor(micro.positions, at::kLong).unsqueeze(0);
  batch.cu_seqlens = micro.cu_seqlens;
  const at::Tensor hidden = recompute ? HiddenRecomputed(model, batch) : model.Hidden(batch).flatten(0, 1);
  return LabelledCrossEntropy(hidden, model.head_weight(), at::tensor(micro.rows, at::kLong),
                              at::tensor(micro.targets, at::kLong),
                              1.0 / static_cast<double>(examples.labelled_tokens()));
}

class GradientParity : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(GradientParity, EqualsPeftWithin1e4) {
  const auto& [setting, recompute] = GetParam();
  const std::string prefix = std::string(setting) + "/";
  const Tensors fixture(Fixtures() / "train/gradients.safetensors");
  const auto model = TinyModel();
  auto lora = AttachLora(*model, ConfigOf(setting), /*trainable=*/true);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  EXPECT_EQ(lora->modules().size() * 2, fixture.Names(prefix + "value/").size())
      << "the same modules as PEFT";
  FillLora(*lora, fixture, prefix + "value/");

  const at::Tensor loss = PackedLoss(*model, ReadExamples(fixture, prefix), recompute);
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), fixture.Get(prefix + "loss").item<double>(), 1e-5);
  for (const auto& module : lora->modules()) {
    for (const char matrix : {'A', 'B'}) {
      const std::string name = PeftName(module.name, matrix);
      const at::Tensor& gradient = (matrix == 'A' ? module.a : module.b).grad();
      EXPECT_LE(RelativeDifference(gradient, fixture.Get(prefix + "gradient/" + name)), 1e-4) << name;
    }
  }
  // The optimizer sees the same numbers in one piece.
  EXPECT_EQ(lora->flat_grad().const_data_ptr(), lora->modules()[0].a.grad().const_data_ptr());
  for (const auto& [name, weight] : model->NamedWeights()) EXPECT_FALSE(weight->grad().defined()) << name;
}

INSTANTIATE_TEST_SUITE_P(Settings, GradientParity,
                         testing::Combine(testing::Values("all_linear", "attention", "regex"),
                                          testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "_recomputed" : "");
                         });

TEST(CurveParity, TwentyUpdatesEqualAPeftLoopWithin1e4) {
  const Tensors fixture(Fixtures() / "train/curve.safetensors");
  const auto model = TinyModel();
  auto lora = AttachLora(*model, ConfigOf("all_linear"), /*trainable=*/true);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  FillLora(*lora, fixture, "value/");
  SftOptions options;
  options.epochs = 5;
  options.shuffle = false;
  options.packing = false;
  options.per_device_train_batch_size = 3;
  options.gradient_accumulation_steps = 2;
  options.learning_rate = 2e-2;
  options.warmup_steps = 3;
  options.optimizer.weight_decay = 0.1;
  options.max_grad_norm = 0.5;
  std::map<std::string, std::vector<double>> metrics;
  SftHooks hooks;
  hooks.metric = [&](const char* name, double value, int64_t step) {
    EXPECT_EQ(static_cast<size_t>(step), metrics[name].size());
    metrics[name].push_back(value);
  };
  const auto result = RunSft(*model, *lora, ReadExamples(fixture, ""), nullptr, options, hooks);
  ASSERT_TRUE(result.ok()) << result.error().ToString();
  EXPECT_EQ(result->steps, 20);
  const at::Tensor losses = fixture.Get("loss"), rates = fixture.Get("learning_rate"),
                   norms = fixture.Get("grad_norm");
  ASSERT_EQ(metrics["loss"].size(), 20u);
  for (int64_t step = 0; step < 20; ++step) {
    const auto i = static_cast<size_t>(step);
    EXPECT_NEAR(metrics["loss"][i], losses[step].item<double>(), 1e-4) << "step " << step;
    EXPECT_NEAR(metrics["learning_rate"][i], rates[step].item<double>(), 1e-8) << "step " << step;
    EXPECT_NEAR(metrics["grad_norm"][i], norms[step].item<double>(), 1e-3 * norms[step].item<double>())
        << "step " << step;
  }
  EXPECT_LT(losses[19].item<double>(), losses[0].item<double>() - 0.5) << "the fixture must really learn";
  for (const auto& module : lora->modules()) {
    EXPECT_LE(RelativeDifference(module.a, fixture.Get("final/" + PeftName(module.name, 'A'))), 2e-3)
        << module.name;
    EXPECT_LE(RelativeDifference(module.b, fixture.Get("final/" + PeftName(module.name, 'B'))), 2e-3)
        << module.name;
  }
}

// What TRL's SFTTrainer logs in 50 updates: tests/parity/trl_fixtures.py.
class TrlParity : public testing::TestWithParam<const char*> {};

TEST_P(TrlParity, FiftyUpdatesEqualThoseOfSftTrainer) {
  const std::string setting = GetParam();
  const Tensors fixture(Fixtures() / "train/trl_curve.safetensors");
  const auto model = TinyModel();
  auto lora = AttachLora(*model, ConfigOf("all_linear"), /*trainable=*/true);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  FillLora(*lora, fixture, "value/");
  SftOptions options;
  options.max_steps = 50;
  options.shuffle = false;
  options.packing = false;
  options.per_device_train_batch_size = 3;
  options.gradient_accumulation_steps = 2;
  options.learning_rate = 1e-2;
  options.max_grad_norm = 0.5;
  if (setting == "adamw") {
    options.warmup_steps = 5;
    options.optimizer.weight_decay = 0.1;
  } else if (setting == "checkpointing") {
    options.lr_scheduler_type = Schedule::kLinear;
    options.gradient_checkpointing = true;
  } else {
    options.lr_scheduler_type = Schedule::kConstantWithWarmup;
    options.warmup_steps = 5;
    options.learning_rate = 2e-3;
    options.optimizer.kind = OptimizerKind::kAdafactor;
  }
  Curves curves;
  SftHooks hooks;
  hooks.metric = Record(&curves);
  const auto result = RunSft(*model, *lora, ReadExamples(fixture, ""), nullptr, options, hooks);
  ASSERT_TRUE(result.ok()) << result.error().ToString();
  ExpectCurvesOfSftTrainer(curves, fixture, setting + "/");
}

INSTANTIATE_TEST_SUITE_P(Settings, TrlParity, testing::Values("adamw", "checkpointing", "adafactor"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace genflow::nn::train
