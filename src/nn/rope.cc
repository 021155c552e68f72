#include "nn/rope.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <numbers>

#include "nn/fused.h"

namespace genflow::nn {

Rope::Rope(int64_t head_dim, double theta, const RopeScaling& scaling, at::Device device) {
  const auto fp32 = at::TensorOptions().dtype(at::kFloat).device(device);
  // In fp32 and in Hugging Face's order of operations: a last-bit difference grows with the position.
  const at::Tensor exponents = at::arange(0, head_dim, 2, fp32) / static_cast<double>(head_dim);
  at::Tensor inv_freq = at::reciprocal(at::pow(at::Scalar(theta), exponents));  // [head_dim / 2]

  if (scaling.kind == RopeScaling::Kind::kLinear) {
    inv_freq = inv_freq / scaling.factor;
  } else if (scaling.kind == RopeScaling::Kind::kLlama3) {
    // Long wavelengths are divided by the factor, short ones kept, those between blended.
    const auto original = static_cast<double>(scaling.original_max_positions);
    const double low_wavelength = original / scaling.low_freq_factor;
    const double high_wavelength = original / scaling.high_freq_factor;
    const at::Tensor wavelength = at::reciprocal(inv_freq) * (2 * std::numbers::pi);
    const at::Tensor scaled = at::where(wavelength > low_wavelength, inv_freq / scaling.factor, inv_freq);
    const at::Tensor smooth = (at::reciprocal(wavelength) * original - scaling.low_freq_factor) /
                              (scaling.high_freq_factor - scaling.low_freq_factor);
    const at::Tensor blended = (1 - smooth) * scaled / scaling.factor + smooth * scaled;
    const at::Tensor between = at::logical_and(wavelength >= high_wavelength, wavelength <= low_wavelength);
    inv_freq = at::where(between, blended, scaled);
  }
  inv_freq_ = inv_freq;
}

Rope::Angles Rope::At(const at::Tensor& positions) const {
  const at::Tensor half =
      positions.to(at::kFloat).unsqueeze(1) * inv_freq_.unsqueeze(0);  // [N, head_dim / 2]
  const at::Tensor angles = at::cat({half, half}, 1);                  // [N, head_dim]
  return {angles.cos(), angles.sin()};
}

at::Tensor ApplyRope(const at::Tensor& x, const Rope::Angles& angles) {
  return FusedRope(x, angles.cos, angles.sin);
}

at::Tensor ApplyRopeTo(at::Tensor x, const Rope::Angles& angles) {
  const bool records = at::GradMode::is_enabled() && x.requires_grad();
  if (records || !HasFusedKernels(x) || x.stride(2) != 1 || x.stride(1) != x.size(2)) {
    return ApplyRope(x, angles);
  }
  RotateInto(x, angles.cos, angles.sin, /*back=*/false, x);
  return x;
}

}  // namespace genflow::nn
