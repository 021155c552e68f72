// LoRA (Hu et al. 2021) under PEFT's names: which projections are adapted, with which rank and scaling, and
// the trainable tensors themselves, laid out in one flat buffer for the optimizer.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nn/model.h"
#include "nn/train/optimizer.h"

namespace genflow::nn::train {

// Which projections get an update, as PEFT's target_modules.
struct TargetModules {
  // Each entry is the whole name of a module or the end of one after a dot: "q_proj". Used when `pattern` is
  // empty.
  std::vector<std::string> names;
  // "all-linear", or a regular expression that the whole module name must match.
  std::string pattern;

  static TargetModules AllLinear() { return {{}, "all-linear"}; }
};

struct LoraConfig {
  int64_t r = 8;
  double alpha = 8;
  double dropout = 0;
  TargetModules target_modules;
  TargetModules exclude_modules;             // of those, these not; empty: none
  std::vector<int64_t> layers_to_transform;  // indices of decoder layers; empty: all
  bool use_rslora = false;                   // scaling alpha / sqrt(r) instead of alpha / r
  // Other ranks and alphas for modules whose name ends in a match of the first (a regular expression); the
  // first pair that matches counts.
  template <class T>
  using Patterns = std::vector<std::pair<std::string, T>>;
  Patterns<int64_t> rank_pattern;
  Patterns<double> alpha_pattern;
};

// The adapted projections of one model. Their tensors are fp32 leaves that view one flat buffer, in the
// model's order: A then B of the first projection, A then B of the second, and so on. Owns the buffers and
// points into the model, which must live as long.
class LoraSet {
 public:
  struct Module {
    std::string name;  // "model.layers.0.self_attn.q_proj"
    Linear* linear = nullptr;
    at::Tensor a;  // [r, in]
    at::Tensor b;  // [out, r]
    double scaling = 1;
  };

  const LoraConfig& config() const { return config_; }
  const std::vector<Module>& modules() const { return modules_; }
  int64_t NumParameters() const { return flat_.numel(); }
  // [NumParameters()] fp32. Writing to it changes the adapter.
  const at::Tensor& flat() const { return flat_; }
  // [NumParameters()] fp32, what backward() adds to; undefined for an adapter that is not trainable.
  const at::Tensor& flat_grad() const { return flat_grad_; }

  // The trained tensors in the flat buffers, in order. `loraplus_lr_ratio`: how many times faster B learns
  // than A (LoRA+, Hayou et al. 2024).
  std::vector<ParameterSlice> Slices(double loraplus_lr_ratio = 1) const;

  // Takes the updates off the model, or puts them back; the tensors stay here.
  void SetEnabled(bool enabled);

 private:
  friend Result<LoraSet> AttachLora(CausalLM& model, const LoraConfig& config, bool trainable);
  LoraConfig config_;
  std::vector<Module> modules_;
  at::Tensor flat_;
  at::Tensor flat_grad_;
};

// Highest rank that is taken: that of a hostile configuration must not decide what is allocated.
constexpr int64_t kMaxRank = 65536;

// Refuses values out of range, no target, and a regular expression that does not compile; names the
// parameters of train.lora.
Status CheckConfig(const LoraConfig& config);

// Gives every targeted projection of `model` a slot with A = B = 0. Refuses a config out of range, and one
// whose targets match no projection, naming those that exist and the nearest.
Result<LoraSet> AttachLora(CausalLM& model, const LoraConfig& config, bool trainable);

// PEFT's initialisation: A uniform in +-1/sqrt(in) (Kaiming, a = sqrt 5), B zero. Each module's values depend
// on `seed` and its name alone, on every device.
Status InitLora(LoraSet& lora, uint64_t seed);

// W += scaling * B A, computed in fp32 and rounded once to the type of W; then takes the updates off the
// model.
Status MergeLora(LoraSet& lora);

// Rank and scaling of a module, after the config's patterns.
struct LoraRank {
  int64_t r;
  double scaling;
};
Result<LoraRank> RankOf(const LoraConfig& config, const std::string& module);

// Whether the targets name a module of this name. An invalid regular expression is kInvalid.
Result<bool> Targets(const TargetModules& targets, const std::string& module);

}  // namespace genflow::nn::train
