#include "nn/blockwise.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace genflow::nn {
namespace {

// Seven decades whose fraction gets a bit more in each (section 1.3 there), ascending.
std::vector<float> Map(bool has_sign) {
  std::vector<float> map = {0.0f, 1.0f};
  for (int decade = 0; decade < 7; ++decade) {
    const int items = has_sign ? 1 << decade : 2 << decade;
    const double scale = std::pow(10.0, decade - 6);
    // As torch.linspace in fp32 and means of its neighbours.
    const at::Tensor borders = at::linspace(0.1, 1.0, items + 1, at::kFloat);
    const at::Tensor means = (borders.narrow(0, 0, items) + borders.narrow(0, 1, items)) / 2;
    const at::Tensor values = means * scale;
    for (int64_t i = 0; i < items; ++i) {
      map.push_back(values[i].item<float>());
      if (has_sign) map.push_back(-map.back());
    }
  }
  std::sort(map.begin(), map.end());
  return map;
}

}  // namespace

Blockwise::Blockwise(int64_t size, bool has_sign, at::Device device) : size_(size) {
  map_ = at::tensor(Map(has_sign), at::kFloat).to(device);
  borders_ = (map_.narrow(0, 0, 255) + map_.narrow(0, 1, 255)) / 2;
  const at::Tensor zero = at::bucketize(at::zeros({1}, map_.options()), borders_, /*out_int32=*/true);
  codes_ = at::full({size}, zero.item<int64_t>(), at::TensorOptions().dtype(at::kByte).device(device));
  scales_ = at::zeros({(size + kBlock - 1) / kBlock}, map_.options());
}

Blockwise Blockwise::To(at::Device device) const {
  Blockwise out = *this;
  for (at::Tensor* tensor : {&out.map_, &out.borders_, &out.codes_, &out.scales_})
    *tensor = tensor->to(device);
  return out;
}

at::Tensor Blockwise::Values() const {
  const at::Tensor values = map_.index_select(0, codes_.to(at::kInt));
  return (Padded(values) * scales_.unsqueeze(1)).flatten().narrow(0, 0, size_);
}

void Blockwise::Keep(const at::Tensor& values) {
  const at::Tensor blocks = Padded(values);  // [blocks, kBlock]
  scales_.copy_(blocks.abs().amax(1));
  const at::Tensor scaled = (blocks * scales_.clamp_min(1e-38).reciprocal().unsqueeze(1)).clamp(-1, 1);
  codes_.copy_(at::bucketize(scaled, borders_, /*out_int32=*/true).flatten().narrow(0, 0, size_));
}

at::Tensor Blockwise::Padded(const at::Tensor& values) const {
  return at::constant_pad_nd(values, {0, scales_.numel() * kBlock - size_}).view({-1, kBlock});
}

}  // namespace genflow::nn
