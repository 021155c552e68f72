// What the tests of the methods besides plain LoRA share: the settings of tests/parity/method_fixtures.py.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "nn/train/full.h"
#include "nn/train/loss.h"
#include "nn/train/recompute.h"
#include "nn/train/sft.h"
#include "train_testing.h"

namespace genflow::nn::train {

inline constexpr const char* kTied = "tiny_gqa_tied";
inline constexpr const char* kUntied = "tiny_llama3_untied";

struct Setting {
  const char* name;
  const char* base = kTied;
  bool full = false;
  LoraConfig lora;
  Quantization quantization = Quantization::kNone;
  double learning_rate = 1e-2;
  bool gradient_checkpointing = false;
  OptimizerKind optimizer = OptimizerKind::kAdamW;
};

inline Setting SettingOf(const std::string& name) {
  Setting s;
  s.lora.r = 4;
  s.lora.alpha = 8;
  s.lora.target_modules = TargetModules::AllLinear();
  s.gradient_checkpointing = name.ends_with("_checkpointing");
  if (name.starts_with("dora")) s.lora.use_dora = true;
  if (name == "dora_checkpointing") s.lora.use_rslora = true;
  if (name == "pissa") s.lora.init_lora_weights = "pissa";
  if (name == "saved_tied") s.lora.modules_to_save = {"embed_tokens"};
  if (name == "saved_head") s.lora.modules_to_save = {"lm_head"};
  if (name == "saved_untied") s.lora.modules_to_save = {"lm_head", "embed_tokens", "model.norm"};
  if (name == "saved_untied" || s.gradient_checkpointing) s.base = kUntied;
  if (name == "nf4") s.quantization = Quantization::kNf4;
  if (name == "int8") s.quantization = Quantization::kInt8;
  s.full = name.starts_with("full");
  if (s.full) s.learning_rate = 2e-3;
  if (name == "full_adafactor") {
    s.optimizer = OptimizerKind::kAdafactor;
    s.learning_rate = 1e-3;
  }
  return s;
}

// What is trained, under the names of PEFT's or transformers' files.
inline std::map<std::string, at::Tensor> Named(const LoraSet& lora) {
  std::map<std::string, at::Tensor> named;
  const std::string prefix = "base_model.model.";
  for (const auto& module : lora.modules()) {
    named[PeftName(module.name, 'A')] = module.a;
    named[PeftName(module.name, 'B')] = module.b;
    if (module.magnitude.defined()) named[prefix + module.name + ".lora_magnitude_vector"] = module.magnitude;
  }
  for (const auto& saved : lora.saved()) named[prefix + saved.slot.name] = saved.value;
  return named;
}

// A model of a setting, trainable, as the fixture's began.
struct Prepared {
  std::shared_ptr<CausalLM> model;
  std::optional<LoraSet> lora;
  std::optional<FullSet> full;
  std::map<std::string, at::Tensor> named;
  TrainedTensors& trained() {
    if (full) return *full;
    return *lora;
  }
};

inline Prepared Prepare(const std::string& name, const Tensors& fixture, at::Device device = at::kCPU) {
  SetThreads(1);
  const Setting setting = SettingOf(name);
  Prepared out;
  const auto source = formats::ModelSource::Open(Fixtures() / "nn" / setting.base);
  EXPECT_TRUE(source.ok()) << source.error().ToString();
  auto model = LoadCausalLM(*source, {.device = device, .quantization = setting.quantization});
  EXPECT_TRUE(model.ok()) << model.error().ToString();
  out.model = *model;
  if (setting.full) {
    auto full = TrainFully(*out.model, at::kFloat);
    EXPECT_TRUE(full.ok()) << full.error().ToString();
    out.full = std::move(*full);
    out.named = {out.full->weights().begin(), out.full->weights().end()};
    return out;
  }
  auto lora = AttachLora(*out.model, setting.lora, /*trainable=*/true);
  EXPECT_TRUE(lora.ok()) << lora.error().ToString();
  out.lora = std::move(*lora);
  EXPECT_TRUE(InitLora(*out.lora, 1).ok());
  out.named = Named(*out.lora);
  if (setting.lora.init_lora_weights == "pissa") return out;
  EXPECT_EQ(out.named.size(), fixture.Names(name + "/value/").size()) << "the same tensors as PEFT";
  for (const auto& [key, tensor] : out.named) tensor.detach().copy_(fixture.Get(name + "/value/" + key));
  return out;
}

// The loss of the first six examples, whose gradients the fixture has.
inline at::Tensor FirstLoss(const Prepared& run, const std::string& name, const Tensors& fixture,
                            bool recompute) {
  const SftExamples examples = ReadExamples(fixture, std::string(SettingOf(name).base) + "/");
  const MicroBatch micro = Collate(examples, std::vector<uint32_t>{0, 1, 2, 3, 4, 5});
  const auto tensor = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(run.model->device());
  };
  Batch batch;
  batch.input_ids = tensor(micro.ids).unsqueeze(0);
  batch.position_ids = tensor(micro.positions).unsqueeze(0);
  batch.cu_seqlens = micro.cu_seqlens;
  const at::Tensor hidden =
      recompute ? HiddenRecomputed(*run.model, batch) : run.model->Hidden(batch).flatten(0, 1);
  return LabelledCrossEntropy(hidden, run.model->head(), tensor(micro.rows), tensor(micro.targets),
                              1.0 / static_cast<double>(micro.targets.size()));
}

// SFTTrainer's arguments.
inline SftOptions OptionsOf(const Setting& setting) {
  SftOptions options;
  options.max_steps = 50;
  options.shuffle = false;
  options.packing = false;
  options.per_device_train_batch_size = 3;
  options.gradient_accumulation_steps = 2;
  options.learning_rate = setting.learning_rate;
  options.max_grad_norm = 0.5;
  options.warmup_steps = 5;
  options.optimizer.weight_decay = 0.1;
  options.optimizer.kind = setting.optimizer;
  options.gradient_checkpointing = setting.gradient_checkpointing;
  return options;
}

}  // namespace genflow::nn::train
