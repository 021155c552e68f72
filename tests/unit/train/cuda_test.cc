// Training on a GPU: PEFT's gradients, and a run that repeats and continues to the same bytes. Skips, saying
// why, where there is none.
#include "nn/train/adapter.h"
#include "nn/train/loss.h"
#include "nn/train/recompute.h"
#include "nn/train/sft.h"
#include "train_testing.h"

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

}  // namespace
}  // namespace genflow::nn::train
