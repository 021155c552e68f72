#include "nn/train/trained.h"

#include <ATen/ATen.h>

#include "formats/weight_names.h"

namespace genflow::nn::train {

std::vector<ParameterSlice> TrainedTensors::Slices(double loraplus_lr_ratio) const {
  std::vector<ParameterSlice> slices = slices_;
  for (ParameterSlice& slice : slices) {
    if (slice.lr_scale == 0) slice.lr_scale = loraplus_lr_ratio;
  }
  return slices;
}

TrainedTensors::Role TrainedTensors::RoleOf(std::string_view name) {
  return {.decays = !name.ends_with(".bias") && name.find("norm.") == std::string_view::npos,
          .layer = formats::LayerOf(name),
          .is_embedding = name == formats::kEmbeddingWeight};
}

void TrainedTensors::Allocate(int64_t size, at::Device device, bool trainable) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
  flat_ = at::zeros({size}, options);
  if (trainable) flat_grad_ = at::zeros({size}, options);
  slices_.clear();
}

at::Tensor TrainedTensors::Take(at::IntArrayRef shape, Role role) {
  const int64_t offset = slices_.empty() ? 0 : slices_.back().offset + slices_.back().size();
  const bool is_vector = shape.size() == 1;
  slices_.push_back({.offset = offset,
                     .rows = is_vector ? 1 : shape[0],
                     .columns = shape.back(),
                     .lr_scale = role.is_lora_b || is_vector ? 0.0 : 1.0,
                     .is_vector = is_vector,
                     .decays = role.decays,
                     .layer = role.layer,
                     .is_embedding = role.is_embedding});
  at::Tensor tensor = flat_.narrow(0, offset, slices_.back().size()).view(shape).detach();
  if (flat_grad_.defined()) {
    tensor.set_requires_grad(true);
    tensor.mutable_grad() = flat_grad_.narrow(0, offset, slices_.back().size()).view(shape);
  }
  return tensor;
}

}  // namespace genflow::nn::train
