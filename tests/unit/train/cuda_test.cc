// Training on a GPU: PEFT's gradients, every method's losses, and runs that repeat and continue to the same
// bytes. Skips, saying why, where there is none.
#include "methods_testing.h"
#include "nn/train/adapter.h"

namespace genflow::nn::train {
namespace {

class CudaTraining : public testing::Test {
 protected:
  void SetUp() override {
    const auto device = ResolveDevice("cuda");
    if (!device.ok()) GTEST_SKIP() << device.error().ToString();
    device_ = *device;
  }

  std::shared_ptr<CausalLM> Model(at::ScalarType dtype = at::kFloat) const {
    const auto source = formats::ModelSource::Open(TinyModelPath());
    EXPECT_TRUE(source.ok());
    auto model = LoadCausalLM(*source, {.dtype = dtype, .device = device_});
    EXPECT_TRUE(model.ok()) << model.error().ToString();
    return model.ok() ? *model : nullptr;
  }

  at::Device device_ = at::kCPU;
};

TEST_F(CudaTraining, GradientsEqualPeftWithin1e3) {
  const Tensors fixture(Fixtures() / "train/gradients.safetensors");
  for (const bool recompute : {false, true}) {
    const auto model = Model();
    LoraConfig config;
    config.target_modules = TargetModules::AllLinear();
    config.r = fixture.Get("all_linear/value/" + PeftName("model.layers.0.self_attn.q_proj", 'A')).size(0);
    config.alpha = 2 * static_cast<double>(config.r);
    auto lora = AttachLora(*model, config, true);
    ASSERT_TRUE(lora.ok()) << lora.error().ToString();
    FillLora(*lora, fixture, "all_linear/value/");
    const SftExamples examples = ReadExamples(fixture, "all_linear/");
    std::vector<uint32_t> members(examples.size());
    for (uint32_t i = 0; i < members.size(); ++i) members[i] = i;
    const MicroBatch micro = Collate(examples, members);
    const auto tensor = [&](const std::vector<int64_t>& values) {
      return at::tensor(values, at::kLong).to(device_);
    };
    Batch batch;
    batch.input_ids = tensor(micro.ids).unsqueeze(0);
    batch.position_ids = tensor(micro.positions).unsqueeze(0);
    batch.cu_seqlens = micro.cu_seqlens;
    const at::Tensor hidden =
        recompute ? HiddenRecomputed(*model, batch) : model->Hidden(batch).flatten(0, 1);
    LabelledCrossEntropy(hidden, model->head_weight(), tensor(micro.rows), tensor(micro.targets),
                         1.0 / static_cast<double>(examples.labelled_tokens()))
        .backward();
    for (const auto& module : lora->modules()) {
      for (const char matrix : {'A', 'B'}) {
        const std::string name = PeftName(module.name, matrix);
        const at::Tensor gradient = (matrix == 'A' ? module.a : module.b).grad().cpu();
        EXPECT_LE(RelativeDifference(gradient, fixture.Get("all_linear/gradient/" + name)), 1e-3) << name;
      }
    }
  }
}

TEST_F(CudaTraining, RepeatsAndContinuesToTheSameBytes) {
  std::vector<int> lengths;
  for (int i = 0; i < 40; ++i) lengths.push_back(4 + (i * 7) % 29);
  const SftExamples corpus = RandomExamples(lengths, 11);
  const ScratchFolder scratch;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    SftOptions options;
    options.epochs = 4;
    options.learning_rate = 5e-3;
    options.per_device_train_batch_size = 2;
    options.max_length = 48;
    options.checkpoint_seconds = 0;
    options.fingerprint = DtypeName(dtype);
    const auto train = [&](int stop_at) -> std::pair<SftResult, at::Tensor> {
      const auto model = Model(dtype);
      LoraConfig config;
      config.dropout = 0.1;
      config.target_modules = TargetModules::AllLinear();
      auto lora = AttachLora(*model, config, true);
      EXPECT_TRUE(lora.ok() && InitLora(*lora, 1).ok());
      int polls = 0;
      SftHooks hooks;
      hooks.should_stop = [&] { return polls++ == stop_at; };
      const auto result = RunSft(*model, *lora, corpus, nullptr, options, hooks);
      EXPECT_TRUE(result.ok()) << result.error().ToString();
      return {result.ok() ? *result : SftResult(), lora->flat().cpu()};
    };
    const auto whole = train(-1);
    EXPECT_LT(whole.first.final_loss, whole.first.first_loss);
    EXPECT_TRUE(at::equal(train(-1).second, whole.second)) << "the run repeats itself";
    options.state_dir = scratch / options.fingerprint;
    EXPECT_TRUE(train(5).first.interrupted);
    const auto continued = train(-1);
    EXPECT_EQ(continued.first.resumed_from, 5);
    EXPECT_TRUE(at::equal(continued.second, whole.second));
  }
}

// Fifty updates of a method beside those of SFTTrainer on a CPU, and the same interrupted and continued.
// Another order of the sums is why the tolerance is wider than on a CPU: 1e-2 at most and 1e-3 in the mean.
class CudaMethods : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto device = ResolveDevice("cuda");
    if (!device.ok()) GTEST_SKIP() << device.error().ToString();
    device_ = *device;
  }
  at::Device device_ = at::kCPU;
};

TEST_P(CudaMethods, EqualsSftTrainerAndContinuesToTheSameBytes) {
  const std::string name = GetParam();
  const Setting setting = SettingOf(name);
  const Tensors fixture(Fixtures() / "train/methods.safetensors");
  const ScratchFolder scratch;
  SftOptions options = OptionsOf(setting);
  options.checkpoint_seconds = 0;
  std::vector<double> losses;
  const auto train = [&](int stop_at) -> std::pair<SftResult, at::Tensor> {
    Prepared run = Prepare(name, fixture, device_);
    losses.clear();
    int polls = 0;
    SftHooks hooks;
    hooks.should_stop = [&] { return polls++ == stop_at; };
    hooks.metric = [&](const char* key, double value, int64_t) {
      if (std::string(key) == "loss") losses.push_back(value);
    };
    const auto result =
        RunSft(*run.model, run.trained(), ReadExamples(fixture, std::string(setting.base) + "/"), nullptr,
               options, hooks);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    return {result.ok() ? *result : SftResult(), run.trained().flat().cpu()};
  };
  const auto whole = train(-1);
  const at::Tensor difference =
      (at::tensor(losses, at::kDouble) - fixture.Get(name + "/loss").to(at::kDouble)).abs();
  EXPECT_LE(difference.max().item<double>(), 1e-2);
  EXPECT_LE(difference.mean().item<double>(), 1e-3);
  options.state_dir = scratch / "state";
  EXPECT_TRUE(train(9).first.interrupted);
  const auto continued = train(-1);
  EXPECT_GT(continued.first.resumed_from, 0);
  EXPECT_TRUE(at::equal(continued.second, whole.second));
}

INSTANTIATE_TEST_SUITE_P(Methods, CudaMethods,
                         testing::Values("dora", "dora_checkpointing", "pissa", "saved_tied", "saved_head",
                                         "saved_untied", "full_tied", "full_checkpointing", "full_adafactor",
                                         "nf4", "int8"),
                         [](const auto& info) { return std::string(info.param); });

// A GGUF's matrices, dequantised on the CPU and copied over.
TEST_F(CudaTraining, TrainsOnAGgufAsItIs) {
  const auto source = formats::ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  at::Tensor gradients[2];
  for (const int i : {0, 1}) {
    const auto model = LoadCausalLM(
        *source, {.device = device_, .quantization = i == 0 ? Quantization::kGguf : Quantization::kNone});
    ASSERT_TRUE(model.ok()) << model.error().ToString();
    LoraConfig config;
    config.target_modules.names = {"q_proj", "down_proj"};
    config.layers_to_transform = {28, 29};
    auto lora = AttachLora(**model, config, true);
    ASSERT_TRUE(lora.ok() && InitLora(*lora, 1).ok());
    Batch batch;
    batch.input_ids = at::arange(24).unsqueeze(0).to(device_);
    const at::Tensor hidden = (*model)->Hidden(batch).flatten(0, 1);
    LabelledCrossEntropy(hidden, (*model)->head(), at::arange(23).to(device_), at::arange(1, 24).to(device_),
                         1.0 / 23)
        .backward();
    gradients[i] = lora->flat_grad().cpu();
  }
  EXPECT_LE(RelativeDifference(gradients[0], gradients[1]), 1e-4);
}

}  // namespace
}  // namespace genflow::nn::train
