// LoRA (Hu et al. 2021) under PEFT's names: which projections are adapted, with which rank and scaling, and
// the trainable tensors themselves, laid out in one flat buffer for the optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "adapter/lora_config.h"
#include "base/result.h"
#include "nn/model.h"
#include "nn/train/trained.h"

namespace genflow::nn::train {

using adapter::LoraConfig;
using adapter::TargetModules;

// The adapted projections of one model and its modules to save. Their tensors are fp32 leaves that view one
// flat buffer, in the model's order: A, B and with DoRA the magnitude of the first projection, those of the
// second, and so on, then the modules to save. Points into the model, which must live as long.
class LoraSet : public TrainedTensors {
 public:
  struct Module {
    std::string name;  // "model.layers.0.self_attn.q_proj"
    Linear* linear = nullptr;
    at::Tensor a;  // [r, in]
    at::Tensor b;  // [out, r]
    double scaling = 1;
    at::Tensor magnitude;  // [out], undefined without DoRA
  };
  // A weight of a module to save.
  struct Saved {
    WeightSlot slot;   // its place in the model
    Matrix base;       // what the model has there without the adapter
    at::Tensor value;  // fp32
  };

  const LoraConfig& config() const { return config_; }
  const std::vector<Module>& modules() const { return modules_; }
  const std::vector<Saved>& saved() const { return saved_; }
  // What the model computes in.
  at::ScalarType dtype() const { return dtype_; }
  // With "pissa": all of flat() as it began, which the base lacks. Undefined otherwise.
  const at::Tensor& initial() const { return initial_; }

  // Takes the updates off the model, or puts them back; the tensors stay here. To be called again after
  // modules to save have changed, where they are not trained.
  void SetEnabled(bool enabled);

 private:
  friend Result<LoraSet> AttachLora(CausalLM& model, const LoraConfig& config, bool trainable);
  friend Status InitLora(LoraSet& lora, uint64_t seed);
  Status FindSaved(CausalLM& model);

  LoraConfig config_;
  std::vector<Module> modules_;
  std::vector<Saved> saved_;
  // The head of a tied model of whose two ends one is saved: the base's, apart from the other.
  std::optional<Saved> untied_head_;
  bool tied_ = false;  // whether the head is the embedding
  at::ScalarType dtype_ = at::kFloat;
  at::Tensor initial_;
};

// Refuses what ReadLoraConfig would refuse of the adapter that comes out, and what cannot be trained; names
// the parameters of train.lora.
Status CheckConfig(const LoraConfig& config);

// Gives every targeted projection of `model` a slot with A = B = 0 and the magnitude of its weight, and every
// module to save a copy of its weights. Refuses a config out of range, and one whose targets match no
// projection, naming those that exist and the nearest.
Result<LoraSet> AttachLora(CausalLM& model, const LoraConfig& config, bool trainable);

// PEFT's initialisation, B zero, and A uniform in +-1/sqrt(in) (Kaiming, a = sqrt 5), or with "gaussian"
// normal with deviation 1/r. Each module's values depend on `seed` and its name alone, on every device. With
// "pissa" the first r singular values and vectors of W, and W becomes what they leave of it: once, on a base
// that is not quantised.
Status InitLora(LoraSet& lora, uint64_t seed);

// W += scaling * B A, with DoRA times magnitude / |W + scaling B A| of each row, computed in fp32 and rounded
// once to the type of W; then takes the updates off the model. Modules to save stay in it.
Status MergeLora(LoraSet& lora);

}  // namespace genflow::nn::train
