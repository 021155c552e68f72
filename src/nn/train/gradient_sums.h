// Adds up gradients over processes while the backward pass is still computing those of the layers below.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>
#include <vector>

#include "nn/train/ranks.h"
#include "nn/train/trained.h"

namespace genflow::nn::train {

// The gradients stand in one flat buffer in the model's order, so that those of neighbouring layers are one
// piece: layers from the last to the first, as the backward pass reaches them, are put into buckets of at
// least `bucket_bytes`. Points to its arguments.
class GradientSums {
 public:
  GradientSums(Ranks& ranks, const TrainedTensors& trained, int64_t bucket_bytes);

  // To be called with the input of each layer (Batch::on_layer_input) in the last forward pass of an update.
  void Watch(const at::Tensor& x, int64_t layer);
  // After its backward pass: until the sums of all gradients are in their places in every process.
  void Finish();

 private:
  struct Bucket {
    int64_t layer;       // complete once the gradient of this one's input is there; -1: at the end
    int64_t begin, end;  // in the flat buffer
  };
  // Starts the buckets of layers from `layer` up; -1: all.
  void StartFrom(int64_t layer);

  Ranks& ranks_;
  at::Tensor gradient_;  // [parameters]
  std::vector<Bucket> buckets_;
  size_t started_ = 0;
  std::exception_ptr failed_;  // in a hook, through which nothing is thrown
};

}  // namespace genflow::nn::train
