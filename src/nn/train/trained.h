// What a training changes, whichever the method: fp32 tensors that view one flat buffer, which is what the
// optimizer, clipping, checkpoints and other processes see.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "nn/train/optimizer.h"

namespace genflow::nn::train {

class TrainedTensors {
 public:
  int64_t NumParameters() const { return flat_.numel(); }
  // [NumParameters()] fp32. Writing to it changes what is trained.
  const at::Tensor& flat() const { return flat_; }
  // [NumParameters()] fp32, what backward() adds to; undefined where nothing is to be trained.
  const at::Tensor& flat_grad() const { return flat_grad_; }
  // The tensors in the flat buffers, in order. `loraplus_lr_ratio`: how many times faster B learns than A
  // (LoRA+, Hayou et al. 2024), and vectors, as in PEFT.
  std::vector<ParameterSlice> Slices(double loraplus_lr_ratio = 1) const;

  // What training needs to know of a tensor besides its shape.
  struct Role {
    bool is_lora_b = false;
    bool decays = true;         // by weight_decay
    int64_t layer = -1;         // of the model; -1: of none
    bool is_embedding = false;  // whose moments bitsandbytes does not keep in 8 bits
  };

 protected:
  // The zeroed buffers. Each of their tensors is taken by Take, in order.
  void Allocate(int64_t size, at::Device device, bool trainable);
  // That of a model's weight, as transformers' Trainer sees it.
  static Role RoleOf(std::string_view name);
  // The next tensor, [n] or [rows, columns]; a leaf with its gradient in place where it is trained.
  at::Tensor Take(at::IntArrayRef shape, Role role);

 private:
  at::Tensor flat_, flat_grad_;
  std::vector<ParameterSlice> slices_;  // lr_scale 1: A; 0: what learns as B does
};

}  // namespace genflow::nn::train
