// Every method, interrupted and continued, ends in the bytes of an uninterrupted training.
#include <algorithm>

#include "methods_testing.h"
#include "nn/train/adapter.h"

namespace genflow::nn::train {
namespace {

SftOptions SmallRun() {
  SftOptions options;
  options.epochs = 2;
  options.per_device_train_batch_size = 2;
  options.gradient_accumulation_steps = 2;
  options.learning_rate = 5e-3;
  options.optimizer.weight_decay = 0.01;
  options.max_length = 48;
  options.checkpoint_seconds = 0;
  options.fingerprint = "run";
  return options;
}

struct Method {
  const char* name;
  Quantization quantization = Quantization::kNone;
  bool full = false;
  void (*change)(LoraConfig&) = [](LoraConfig&) {};
  at::ScalarType dtype = at::kFloat;
};

// Trains with `stops`, asked to stop at those polls, one call after another; gives what is trained.
at::Tensor Train(const Method& method, const SftOptions& options, const std::vector<int>& stops) {
  std::vector<int> lengths;
  for (int i = 0; i < 30; ++i) lengths.push_back(4 + (i * 7) % 29);
  const SftExamples corpus = RandomExamples(lengths, 11);
  for (size_t attempt = 0;; ++attempt) {
    SetThreads(1);
    const auto source = formats::ModelSource::Open(TinyModelPath());
    const auto model = *LoadCausalLM(
        *source, {.dtype = method.full ? at::kFloat : method.dtype, .quantization = method.quantization});
    std::optional<LoraSet> lora;
    std::optional<FullSet> full;
    if (method.full) {
      full = *TrainFully(*model, method.dtype);
    } else {
      LoraConfig config;
      config.r = 4;
      config.dropout = 0.1;
      config.target_modules = TargetModules::AllLinear();
      method.change(config);
      auto attached = AttachLora(*model, config, true);
      EXPECT_TRUE(attached.ok()) << attached.error().ToString();
      lora = std::move(*attached);
      EXPECT_TRUE(InitLora(*lora, options.seed).ok());
    }
    TrainedTensors& trained = full ? static_cast<TrainedTensors&>(*full) : *lora;
    const at::Tensor began = trained.flat().clone();
    int polls = 0;
    SftHooks hooks;
    if (attempt < stops.size()) hooks.should_stop = [&] { return polls++ == stops[attempt]; };
    const auto result = RunSft(*model, trained, corpus, nullptr, options, hooks);
    EXPECT_TRUE(result.ok()) << result.error().ToString();
    if (!result.ok()) return {};
    EXPECT_EQ(result->interrupted, attempt < stops.size());
    EXPECT_EQ(result->resumed_from > 0, attempt > 0);
    if (result->interrupted) continue;
    EXPECT_GT((trained.flat() - began).abs().max().item<double>(), 1e-3) << "it is trained";
    return trained.flat().clone();
  }
}

class EveryMethod : public testing::TestWithParam<Method> {};

TEST_P(EveryMethod, ContinuesToTheSameBytes) {
  for (const bool recompute : {false, true}) {
    SftOptions options = SmallRun();
    options.gradient_checkpointing = recompute;
    const at::Tensor whole = Train(GetParam(), options, {});
    const ScratchFolder scratch;
    options.state_dir = scratch / "state";
    EXPECT_TRUE(at::equal(Train(GetParam(), options, {5, 3, 2}), whole)) << recompute;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Methods, EveryMethod,
    testing::Values(
        Method{.name = "dora", .change = [](LoraConfig& c) { c.use_dora = true; }},
        Method{
            .name = "dora_bf16", .change = [](LoraConfig& c) { c.use_dora = true; }, .dtype = at::kBFloat16},
        Method{.name = "pissa", .change = [](LoraConfig& c) { c.init_lora_weights = "pissa"; }},
        Method{.name = "gaussian", .change = [](LoraConfig& c) { c.init_lora_weights = "gaussian"; }},
        Method{.name = "modules_to_save",
               .change =
                   [](LoraConfig& c) {
                     c.modules_to_save = {"lm_head", "model.norm"};
                   }},
        Method{.name = "modules_to_save_bf16",
               .change = [](LoraConfig& c) { c.modules_to_save = {"embed_tokens"}; },
               .dtype = at::kBFloat16},
        Method{.name = "int8", .quantization = Quantization::kInt8},
        Method{.name = "nf4", .quantization = Quantization::kNf4},
        Method{.name = "nf4_dora_bf16",
               .quantization = Quantization::kNf4,
               .change = [](LoraConfig& c) { c.use_dora = true; },
               .dtype = at::kBFloat16},
        Method{.name = "full", .full = true},
        Method{.name = "full_bf16", .full = true, .dtype = at::kBFloat16}),
    [](const auto& info) { return std::string(info.param.name); });

// A quantised base in every layout of the training: as if it had been dequantised and loaded.
TEST(QuantizedBase, TrainsAsTheDequantisedOne) {
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kNf4}) {
    at::Tensor gradients[2], hidden[2];
    for (const int i : {0, 1}) {
      SetThreads(1);
      const auto source = formats::ModelSource::Open(TinyModelPath());
      const auto model = *LoadCausalLM(*source, {.quantization = quantization});
      if (i == 1) {
        model->ForEachLinear([](const std::string&, Linear& linear) {
          linear.weight = linear.quantized->Dequantize(at::kFloat);
          linear.quantized = nullptr;
        });
      }
      LoraConfig config;
      config.target_modules.names = {"q_proj", "up_proj", "down_proj"};
      auto lora = AttachLora(*model, config, true);
      ASSERT_TRUE(lora.ok());
      at::manual_seed(4);
      lora->flat().normal_(0, 0.1);
      Batch batch;
      batch.input_ids = at::arange(24).unsqueeze(0);
      hidden[i] = model->Hidden(batch);
      hidden[i].square().sum().backward();
      gradients[i] = lora->flat_grad().clone();
    }
    EXPECT_TRUE(at::equal(hidden[0], hidden[1]));
    EXPECT_TRUE(at::equal(gradients[0], gradients[1]));
  }
}

// bf16 changes what is computed a little, and what is trained stays fp32.
TEST(Full, Bf16StaysNearFp32AndTrainsFp32) {
  const auto source = formats::ModelSource::Open(TinyModelPath());
  at::Tensor gradients[2];
  for (const int i : {0, 1}) {
    SetThreads(1);
    const auto model = *LoadCausalLM(*source, {});
    auto full = TrainFully(*model, i == 0 ? at::kFloat : at::kBFloat16);
    ASSERT_TRUE(full.ok());
    EXPECT_EQ(full->NumParameters(), model->NumParameters());
    Batch batch;
    batch.input_ids = at::arange(24).unsqueeze(0);
    const at::Tensor hidden = model->Hidden(batch).flatten(0, 1);
    EXPECT_EQ(hidden.scalar_type(), i == 0 ? at::kFloat : at::kBFloat16);
    LabelledCrossEntropy(hidden, model->head(), at::arange(23), at::arange(1, 24), 1.0 / 23).backward();
    gradients[i] = full->flat_grad().clone();
    EXPECT_EQ(gradients[i].scalar_type(), at::kFloat);
  }
  EXPECT_LE(RelativeDifference(gradients[1], gradients[0]), 0.1);
}

TEST(Full, IsSavedAsAModelThatLoads) {
  const auto source = formats::ModelSource::Open(TinyModelPath());
  const auto model = *LoadCausalLM(*source, {});
  auto full = TrainFully(*model, at::kFloat);
  ASSERT_TRUE(full.ok());
  at::manual_seed(3);
  full->flat().add_(at::randn(full->flat().sizes()) * 0.01);
  const ScratchFolder scratch;
  ASSERT_TRUE(SaveModel(*full, *source, at::kFloat, scratch / "model").ok());
  ASSERT_TRUE(SaveModel(*full, *source, at::kBFloat16, scratch / "narrow").ok());
  const auto saved = formats::ModelSource::Open(scratch / "model");
  ASSERT_TRUE(saved.ok()) << saved.error().ToString();
  EXPECT_EQ(saved->config().at("tie_word_embeddings"), true);
  const auto again = *LoadCausalLM(*saved, {});
  const c10::NoGradGuard no_grad;
  Batch batch;
  batch.input_ids = at::arange(24).unsqueeze(0);
  for (const auto& [name, weight] : full->weights()) {
    const auto slots = again->NamedWeights();
    const auto found =
        std::find_if(slots.begin(), slots.end(), [&](const auto& slot) { return slot.first == name; });
    ASSERT_NE(found, slots.end()) << name;
    EXPECT_TRUE(at::equal(*found->second, weight)) << name;
  }
  EXPECT_LE(RelativeDifference(again->Hidden(batch), model->Hidden(batch)), 1e-5);
  const auto narrow = formats::ModelSource::Open(scratch / "narrow");
  ASSERT_TRUE(narrow.ok());
  EXPECT_EQ(narrow->dominant_type(), "BF16");
  const auto rounded = *LoadCausalLM(*narrow, {});
  EXPECT_TRUE(at::equal(rounded->embed_tokens, model->embed_tokens.to(at::kBFloat16).to(at::kFloat)));
}

}  // namespace
}  // namespace genflow::nn::train
