// Numbers in 8 bits each and a scale for 256 of them (Dettmers et al. 2022, "8-bit Optimizers via Block-wise
// Quantization"): what bitsandbytes calls dynamic.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace genflow::nn {

class Blockwise {
 public:
  static constexpr int64_t kBlock = 256;

  // `size` zeros. `has_sign`: whether numbers below 0 are to be held.
  Blockwise(int64_t size, bool has_sign, at::Device device);

  // The same numbers on another device.
  Blockwise To(at::Device device) const;

  // [size] fp32.
  at::Tensor Values() const;
  // Each number becomes the nearest code times the largest magnitude of its block. values: [size] fp32.
  void Keep(const at::Tensor& values);

  // What the codes stand for, [256] fp32, ascending.
  const at::Tensor& map() const { return map_; }
  const at::Tensor& codes() const { return codes_; }    // [size] uint8
  const at::Tensor& scales() const { return scales_; }  // [blocks] fp32

 private:
  at::Tensor Padded(const at::Tensor& values) const;

  int64_t size_;
  at::Tensor map_, borders_;  // [256], [255]
  at::Tensor codes_, scales_;
};

}  // namespace genflow::nn
