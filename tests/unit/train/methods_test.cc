// DoRA, PiSSA, modules to save, full fine-tuning and quantised bases against PEFT, TRL and bitsandbytes:
// tests/parity/method_fixtures.py.
#include <cmath>

#include "curves.h"
#include "methods_testing.h"
#include "nn/train/adapter.h"

namespace genflow::nn::train {
namespace {

class MethodGradients : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(MethodGradients, EqualPeftWithin1e4) {
  const auto& [name, recompute] = GetParam();
  const Tensors fixture(Fixtures() / "train/methods.safetensors");
  Prepared run = Prepare(name, fixture);
  FirstLoss(run, name, fixture, recompute).backward();
  const std::string prefix = std::string(name) + "/gradient/";
  EXPECT_EQ(run.named.size(), fixture.Names(prefix).size());
  int64_t offset = 0;
  for (const auto& [key, tensor] : run.named) {
    EXPECT_LE(RelativeDifference(tensor.grad(), fixture.Get(prefix + key)), 1e-4) << key;
    offset += tensor.numel();
  }
  EXPECT_EQ(offset, run.trained().NumParameters());
  EXPECT_GT(run.trained().flat_grad().abs().max().item<double>(), 0) << "what the optimizer sees";
}

INSTANTIATE_TEST_SUITE_P(Methods, MethodGradients,
                         testing::Combine(testing::Values("dora", "saved_untied", "full_tied"),
                                          testing::Bool()),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "_recomputed" : "");
                         });

class MethodCurves : public testing::TestWithParam<const char*> {};

TEST_P(MethodCurves, FiftyUpdatesEqualThoseOfSftTrainer) {
  const std::string name = GetParam();
  const Setting setting = SettingOf(name);
  const Tensors fixture(Fixtures() / "train/methods.safetensors");
  Prepared run = Prepare(name, fixture);
  const SftOptions options = OptionsOf(setting);
  Curves curves;
  SftHooks hooks;
  hooks.metric = Record(&curves);
  const auto result = RunSft(*run.model, run.trained(),
                             ReadExamples(fixture, std::string(setting.base) + "/"), nullptr, options, hooks);
  ASSERT_TRUE(result.ok()) << result.error().ToString();
  ExpectCurvesOfSftTrainer(curves, fixture, name + "/");
  EXPECT_LT(curves["loss"][49], curves["loss"][0] - 0.3) << "the fixture must really learn";
}

INSTANTIATE_TEST_SUITE_P(Methods, MethodCurves,
                         testing::Values("dora", "dora_checkpointing", "pissa", "saved_tied", "saved_head",
                                         "saved_untied", "full_tied", "full_checkpointing", "full_adafactor",
                                         "nf4", "int8"),
                         [](const auto& info) { return std::string(info.param); });

double MaxDifference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(Quantization, EveryNumberIsTheOneOfBitsandbytes) {
  const Tensors fixture(Fixtures() / "train/quantization.safetensors");
  for (int i = 0; fixture.Has("weight." + std::to_string(i)); ++i) {
    SCOPED_TRACE(i);
    const std::string tail = "." + std::to_string(i);
    const at::Tensor weight = fixture.Get("weight" + tail);
    EXPECT_EQ(MaxDifference(QuantizeInt8(weight, at::kCPU)->Dequantize(at::kFloat),
                            fixture.Get("int8/values" + tail)),
              0);
    const Nf4Parts parts = QuantizeNf4Parts(weight);
    EXPECT_TRUE(at::equal(parts.codes.to(at::kInt), fixture.Get("nf4/codes" + tail)));
    EXPECT_TRUE(at::equal(parts.scales.codes().to(at::kInt), fixture.Get("nf4/absmax" + tail)));
    EXPECT_TRUE(at::equal(parts.scales.scales(), fixture.Get("nf4/nested_absmax" + tail)));
    EXPECT_EQ(parts.offset, fixture.Get("nf4/offset" + tail).item<float>());
    EXPECT_EQ(MaxDifference(QuantizeNf4(weight, at::kCPU)->Dequantize(at::kFloat),
                            fixture.Get("nf4/values" + tail)),
              0);
  }
}

TEST(Pissa, TakesFromTheBaseWhatPeftTakesAndGivesItBack) {
  const Tensors fixture(Fixtures() / "train/pissa.expected.safetensors");
  Prepared run = Prepare("pissa", fixture);
  for (const auto& module : run.lora->modules()) {
    const at::Tensor product = at::mm(module.b.detach(), module.a.detach()) * module.scaling;
    EXPECT_LE(RelativeDifference(product, fixture.Get("product/" + module.name)), 3e-5) << module.name;
    EXPECT_LE(RelativeDifference(module.linear->weight, fixture.Get("residual/" + module.name)), 3e-5)
        << module.name;
  }
  // Changed and saved, it is an adapter of the base as it was.
  run.lora->flat().mul_(1.25);
  const ScratchFolder scratch;
  ASSERT_TRUE(SaveAdapter(*run.lora, scratch / "adapter").ok());
  const auto config = ReadAdapterConfig(scratch / "adapter");
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->r, fixture.Get("converted_r").item<int64_t>());
  EXPECT_EQ(config->alpha, fixture.Get("converted_alpha").item<double>());
  EXPECT_EQ(config->init_lora_weights, "");
  const auto base = TinyModel();
  auto converted = LoadAdapter(*base, scratch / "adapter");
  ASSERT_TRUE(converted.ok()) << converted.error().ToString();
  for (const auto& module : converted->modules()) {
    const at::Tensor product = at::mm(module.b, module.a) * module.scaling;
    EXPECT_LE(RelativeDifference(product, fixture.Get("converted/" + module.name)), 3e-5) << module.name;
  }
  const c10::NoGradGuard no_grad;
  Batch batch;
  batch.input_ids = at::arange(24).unsqueeze(0);
  const at::Tensor hidden = run.model->Hidden(batch);
  EXPECT_LE(RelativeDifference(base->Hidden(batch), hidden), 1e-5);
}

TEST(Pissa, KeepsItsScalingsWhenItIsConverted) {
  for (const bool rslora : {false, true}) {
    LoraConfig config = SettingOf("pissa").lora;
    config.use_rslora = rslora;
    config.rank_pattern = {{"down_proj", 2}};
    config.alpha_pattern = {{R"(layers\.1\.self_attn\.q_proj)", 3}};
    const auto model = TinyModel(), base = TinyModel();
    auto lora = AttachLora(*model, config, true);
    ASSERT_TRUE(lora.ok() && InitLora(*lora, 1).ok());
    at::manual_seed(6);
    lora->flat().add_(at::randn(lora->flat().sizes()) * 0.05);
    const ScratchFolder scratch;
    ASSERT_TRUE(SaveAdapter(*lora, scratch / "adapter").ok());
    const auto converted = LoadAdapter(*base, scratch / "adapter");
    ASSERT_TRUE(converted.ok()) << converted.error().ToString();
    EXPECT_EQ(converted->modules()[0].a.size(0), 8);
    const c10::NoGradGuard no_grad;
    Batch batch;
    batch.input_ids = at::arange(24).unsqueeze(0);
    EXPECT_LE(RelativeDifference(base->Hidden(batch), model->Hidden(batch)), 1e-5) << rslora;
  }
}

// Beside updates of other projections of the same layers.
TEST(ModulesToSave, CanBeProjections) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_proj", "up_proj"};
  config.modules_to_save = {"down_proj"};
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  ASSERT_TRUE(InitLora(*lora, 1).ok());
  ASSERT_EQ(lora->saved().size(), 2u);
  Batch batch;
  batch.input_ids = at::arange(24).unsqueeze(0);
  const at::Tensor before = model->Hidden(batch);
  before.square().sum().backward();
  for (const auto& saved : lora->saved()) {
    EXPECT_GT(saved.value.grad().abs().max().item<double>(), 0) << saved.slot.name;
    saved.value.detach().add_(0.1);
  }
  EXPECT_GT(RelativeDifference(model->Hidden(batch).detach(), before.detach()), 1e-2);
}

TEST(Pissa, RefusesABaseThatCannotBeChanged) {
  const auto source = formats::ModelSource::Open(TinyModelPath());
  const auto model = LoadCausalLM(*source, {.quantization = Quantization::kNf4});
  ASSERT_TRUE(model.ok());
  LoraConfig config = SettingOf("pissa").lora;
  auto lora = AttachLora(**model, config, true);
  ASSERT_TRUE(lora.ok());
  EXPECT_EQ(InitLora(*lora, 1).error().ToString(),
            "lora.init_lora_weights pissa needs a base that is not quantised\n"
            "  hint: PiSSA changes the base, which a quantised one cannot take; use quantization none");
  config.r = 17;
  const auto plain = TinyModel();
  auto wide = AttachLora(*plain, config, true);
  ASSERT_TRUE(wide.ok());
  EXPECT_EQ(InitLora(*wide, 1).error().ToString(),
            "lora.r is 17, and 'model.layers.0.self_attn.k_proj' has 16 singular values\n"
            "  hint: pissa begins with r of them");
  config.use_dora = true;
  EXPECT_EQ(AttachLora(*plain, config, true).error().message,
            "lora.init_lora_weights pissa does not go with lora.use_dora");
}

TEST(Gaussian, AIsNormalWithDeviationOneByR) {
  const auto model = TinyModel();
  LoraConfig config;
  config.r = 16;
  config.target_modules = TargetModules::AllLinear();
  config.init_lora_weights = "gaussian";
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok() && InitLora(*lora, 1).ok());
  std::vector<at::Tensor> all;
  for (const auto& module : lora->modules()) {
    all.push_back(module.a.detach().flatten() * 16);
    EXPECT_EQ(module.b.abs().max().item<double>(), 0) << module.name;
  }
  const at::Tensor a = at::cat(all);
  const auto n = static_cast<double>(a.numel());
  EXPECT_NEAR(a.mean().item<double>(), 0, 4 / std::sqrt(n));
  EXPECT_NEAR(a.std().item<double>(), 1, 4 / std::sqrt(2 * n));
  EXPECT_NEAR(a.pow(4).mean().item<double>(), 3, 4 * std::sqrt(96 / n)) << "no heavier tails";
  EXPECT_NEAR(a.abs().lt(1).to(at::kDouble).mean().item<double>(), 0.6827, 2 / std::sqrt(n));
  config.init_lora_weights = "eva";
  auto other = AttachLora(*model, config, true);
  EXPECT_EQ(InitLora(*other, 1).error().message,
            "lora.init_lora_weights is 'eva', expected true, gaussian or pissa");
}

}  // namespace
}  // namespace genflow::nn::train
