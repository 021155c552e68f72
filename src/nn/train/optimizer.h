// Optimizers over one flat fp32 buffer, each equal to its counterpart in torch, transformers or bitsandbytes;
// and gradient clipping.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genflow::nn::train {

// transformers' names: adamw_torch_fused, adamw_8bit, adafactor.
enum class OptimizerKind { kAdamW, kAdamW8bit, kAdafactor };
std::optional<OptimizerKind> OptimizerFromName(std::string_view name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // Adafactor has constants of its own
  double weight_decay = 0;                            // decoupled (Loshchilov & Hutter 2019)
};

// One trained tensor: where it stands in the flat buffers, and its shape.
struct ParameterSlice {
  int64_t offset = 0;
  int64_t rows = 0, columns = 0;
  double lr_scale = 1;        // its learning rate as a multiple of the schedule's
  bool is_vector = false;     // one row is all that it is: Adafactor keeps no means of it
  bool decays = true;         // by weight_decay: norms and biases do not, as in transformers' Trainer
  int64_t layer = -1;         // of the model; -1: of none
  bool is_embedding = false;  // AdamW of 8 bits keeps its moments in fp32, as transformers' Trainer wants
  int64_t size() const { return rows * columns; }
};

class Optimizer {
 public:
  // `parameters` [n] fp32 is updated in place by Step(); the slices cover it, in order.
  static std::unique_ptr<Optimizer> Make(const OptimizerOptions& options, at::Tensor parameters,
                                         std::vector<ParameterSlice> slices);
  virtual ~Optimizer() = default;

  // One update with `gradient` [n] at learning rate `lr`.
  virtual void Step(const at::Tensor& gradient, double lr) = 0;

  // For checkpoints: updates so far, and all that is kept from one to the next, by name. Restoring writes
  // into those tensors and sets the number.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  virtual std::vector<std::pair<std::string, at::Tensor>> State() const = 0;

 protected:
  Optimizer(const OptimizerOptions& options, at::Tensor parameters, std::vector<ParameterSlice> slices)
      : options_(options), parameters_(std::move(parameters)), slices_(std::move(slices)) {}
  static at::Tensor Of(const at::Tensor& flat, const ParameterSlice& slice) {
    return flat.narrow(0, slice.offset, slice.size());
  }

  double WeightDecay(const ParameterSlice& slice) const { return slice.decays ? options_.weight_decay : 0; }

  OptimizerOptions options_;
  at::Tensor parameters_;
  std::vector<ParameterSlice> slices_;
  int64_t steps_ = 0;
};

// Scales `gradient` in place so that its 2-norm is at most max_norm, as torch.nn.utils.clip_grad_norm_;
// max_norm 0: leaves it alone. Returns the norm before.
double ClipGradNorm(const at::Tensor& gradient, double max_norm);

}  // namespace genflow::nn::train
