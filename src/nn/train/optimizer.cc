#include "nn/train/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

namespace genflow::nn::train {
namespace {

// Bias corrections of Adam (Kingma & Ba 2015, section 3) at an update counted from 1.
struct Corrections {
  Corrections(const OptimizerOptions& o, int64_t step)
      : first(1 - std::pow(o.beta1, static_cast<double>(step))),
        second_root(std::sqrt(1 - std::pow(o.beta2, static_cast<double>(step)))) {}
  double first, second_root;
};

// The arithmetic of torch.optim.AdamW(fused=True), whose kernel it is.
class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerOptions& options, at::Tensor parameters, std::vector<ParameterSlice> slices)
      : Optimizer(options, std::move(parameters), std::move(slices)),
        exp_avg_(at::zeros_like(parameters_)),
        exp_avg_sq_(at::zeros_like(parameters_)) {
    // Neighbours that learn at one rate are one tensor to the kernel.
    for (const ParameterSlice& slice : slices_) {
      if (runs_.empty() || runs_.back().lr_scale != slice.lr_scale) {
        runs_.push_back({slice.offset, 0, 1, slice.lr_scale});
      }
      runs_.back().rows += slice.size();
    }
  }

  void Step(const at::Tensor& gradient, double lr) override {
    const c10::NoGradGuard no_grad;
    const at::Tensor step = at::full({}, static_cast<double>(++steps_), parameters_.options());
    for (const ParameterSlice& run : runs_) {
      at::_fused_adamw_({Of(parameters_, run)}, {Of(gradient, run)}, {Of(exp_avg_, run)},
                        {Of(exp_avg_sq_, run)}, {}, {step}, lr * run.lr_scale, options_.beta1, options_.beta2,
                        options_.weight_decay, options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
    }
    // The kernel does not count what it writes, and what holds copies of the parameters goes by that count.
    parameters_.unsafeGetTensorImpl()->bump_version();
  }

  std::vector<std::pair<std::string, at::Tensor>> State() const override {
    return {{"exp_avg", exp_avg_}, {"exp_avg_sq", exp_avg_sq_}};
  }

 private:
  at::Tensor exp_avg_, exp_avg_sq_;
  std::vector<ParameterSlice> runs_;
};

// Numbers of one sign or two as 8 bits each and a scale for 256 of them (Dettmers et al. 2022, "8-bit
// Optimizers via Block-wise Quantization"): what bitsandbytes calls dynamic.
class Blockwise {
 public:
  Blockwise(int64_t size, bool has_sign, at::Device device) : size_(size) {
    map_ = at::tensor(Map(has_sign), at::kFloat).to(device);
    borders_ = (map_.narrow(0, 0, 255) + map_.narrow(0, 1, 255)) / 2;
    const at::Tensor zero = at::bucketize(at::zeros({1}, map_.options()), borders_, /*out_int32=*/true);
    codes_ = at::full({size}, zero.item<int64_t>(), at::TensorOptions().dtype(at::kByte).device(device));
    scales_ = at::zeros({(size + kBlock - 1) / kBlock}, map_.options());
  }

  // [size] fp32.
  at::Tensor Values() const {
    const at::Tensor values = map_.index_select(0, codes_.to(at::kInt));
    return (Padded(values) * scales_.unsqueeze(1)).flatten().narrow(0, 0, size_);
  }
  void Keep(const at::Tensor& values) {
    const at::Tensor blocks = Padded(values);  // [blocks, kBlock]
    scales_.copy_(blocks.abs().amax(1));
    const at::Tensor scaled = (blocks * scales_.clamp_min(1e-38).reciprocal().unsqueeze(1)).clamp(-1, 1);
    codes_.copy_(at::bucketize(scaled, borders_, /*out_int32=*/true).flatten().narrow(0, 0, size_));
  }

  const at::Tensor& codes() const { return codes_; }
  const at::Tensor& scales() const { return scales_; }

 private:
  static constexpr int64_t kBlock = 256;

  at::Tensor Padded(const at::Tensor& values) const {
    return at::constant_pad_nd(values, {0, scales_.numel() * kBlock - size_}).view({-1, kBlock});
  }

  // Seven decades whose fraction gets a bit more in each (section 1.3 there), ascending.
  static std::vector<float> Map(bool has_sign) {
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

  int64_t size_;
  at::Tensor map_, borders_;  // [256], [255]
  at::Tensor codes_;          // [size] uint8
  at::Tensor scales_;         // [blocks] fp32
};

// bitsandbytes' AdamW8bit: moments of tensors of at least 4,096 numbers in 8 bits each, of smaller ones in
// fp32.
class AdamW8bit final : public Optimizer {
 public:
  AdamW8bit(const OptimizerOptions& options, at::Tensor parameters, std::vector<ParameterSlice> slices)
      : Optimizer(options, std::move(parameters), std::move(slices)) {
    for (const ParameterSlice& slice : slices_) {
      Moments& m = moments_.emplace_back();
      if (slice.size() >= kSmallest) {
        m.first_bits.emplace(slice.size(), /*has_sign=*/true, parameters_.device());
        m.second_bits.emplace(slice.size(), /*has_sign=*/false, parameters_.device());
      } else {
        m.first = at::zeros({slice.size()}, parameters_.options());
        m.second = at::zeros_like(m.first);
      }
    }
  }

  void Step(const at::Tensor& gradient, double lr) override {
    const c10::NoGradGuard no_grad;
    const Corrections corrections(options_, ++steps_);
    for (size_t i = 0; i < slices_.size(); ++i) {
      Moments& m = moments_[i];
      const at::Tensor weight = Of(parameters_, slices_[i]), g = Of(gradient, slices_[i]);
      const double rate = lr * slices_[i].lr_scale;
      at::Tensor first = m.first_bits ? m.first_bits->Values() : m.first;
      at::Tensor second = m.second_bits ? m.second_bits->Values() : m.second;
      first.mul_(options_.beta1).add_(g, 1 - options_.beta1);
      second.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
      weight.mul_(1 - rate * options_.weight_decay);
      weight.addcdiv_(first, second.sqrt().div_(corrections.second_root).add_(options_.epsilon),
                      -rate / corrections.first);
      if (!m.first_bits) continue;
      m.first_bits->Keep(first);
      m.second_bits->Keep(second);
    }
  }

  std::vector<std::pair<std::string, at::Tensor>> State() const override {
    std::vector<std::pair<std::string, at::Tensor>> state;
    for (size_t i = 0; i < moments_.size(); ++i) {
      const Moments& m = moments_[i];
      const std::string tail = "." + std::to_string(i);
      if (m.first_bits) {
        state.emplace_back("exp_avg_codes" + tail, m.first_bits->codes());
        state.emplace_back("exp_avg_scales" + tail, m.first_bits->scales());
        state.emplace_back("exp_avg_sq_codes" + tail, m.second_bits->codes());
        state.emplace_back("exp_avg_sq_scales" + tail, m.second_bits->scales());
      } else {
        state.emplace_back("exp_avg" + tail, m.first);
        state.emplace_back("exp_avg_sq" + tail, m.second);
      }
    }
    return state;
  }

 private:
  static constexpr int64_t kSmallest = 4096;
  struct Moments {
    std::optional<Blockwise> first_bits, second_bits;
    at::Tensor first, second;
  };
  std::vector<Moments> moments_;
};

// transformers' Adafactor (Shazeer & Stern 2018) as its Trainer uses it: the learning rate is the schedule's,
// no first moment, updates clipped to a root mean square of 1. Second moments are kept as the means of rows
// and columns.
class Adafactor final : public Optimizer {
 public:
  Adafactor(const OptimizerOptions& options, at::Tensor parameters, std::vector<ParameterSlice> slices)
      : Optimizer(options, std::move(parameters), std::move(slices)) {
    for (const ParameterSlice& slice : slices_) {
      rows_.push_back(at::zeros({slice.rows}, parameters_.options()));
      columns_.push_back(at::zeros({slice.columns}, parameters_.options()));
    }
  }

  void Step(const at::Tensor& gradient, double lr) override {
    const c10::NoGradGuard no_grad;
    const double decay = 1 - std::pow(static_cast<double>(++steps_), -0.8);
    for (size_t i = 0; i < slices_.size(); ++i) {
      const ParameterSlice& slice = slices_[i];
      const at::Tensor weight = Of(parameters_, slice).view({slice.rows, slice.columns});
      const at::Tensor g = Of(gradient, slice).view({slice.rows, slice.columns});
      const at::Tensor square = g.square().add_(1e-30);
      rows_[i].mul_(decay).add_(square.mean({-1}), 1 - decay);
      columns_[i].mul_(decay).add_(square.mean({-2}), 1 - decay);
      const at::Tensor row_factor = (rows_[i] / rows_[i].mean()).rsqrt_().unsqueeze(1);
      at::Tensor update = row_factor * columns_[i].rsqrt().unsqueeze(0);
      update.mul_(g);
      const at::Tensor rms = at::linalg_vector_norm(update, 2) / std::sqrt(static_cast<double>(slice.size()));
      update.div_(rms.clamp_min(1.0));
      const double rate = lr * slice.lr_scale;
      weight.mul_(1 - rate * options_.weight_decay);
      weight.sub_(update.mul_(rate));
    }
  }

  std::vector<std::pair<std::string, at::Tensor>> State() const override {
    std::vector<std::pair<std::string, at::Tensor>> state;
    for (size_t i = 0; i < rows_.size(); ++i) {
      state.emplace_back("exp_avg_sq_row." + std::to_string(i), rows_[i]);
      state.emplace_back("exp_avg_sq_col." + std::to_string(i), columns_[i]);
    }
    return state;
  }

 private:
  std::vector<at::Tensor> rows_, columns_;
};

}  // namespace

std::optional<OptimizerKind> OptimizerFromName(std::string_view name) {
  if (name == "adamw_torch_fused") return OptimizerKind::kAdamW;
  if (name == "adamw_8bit") return OptimizerKind::kAdamW8bit;
  if (name == "adafactor") return OptimizerKind::kAdafactor;
  return std::nullopt;
}

std::unique_ptr<Optimizer> Optimizer::Make(const OptimizerOptions& options, at::Tensor parameters,
                                           std::vector<ParameterSlice> slices) {
  switch (options.kind) {
    case OptimizerKind::kAdamW8bit:
      return std::make_unique<AdamW8bit>(options, std::move(parameters), std::move(slices));
    case OptimizerKind::kAdafactor:
      return std::make_unique<Adafactor>(options, std::move(parameters), std::move(slices));
    case OptimizerKind::kAdamW:
      break;
  }
  return std::make_unique<AdamW>(options, std::move(parameters), std::move(slices));
}

double ClipGradNorm(const at::Tensor& gradient, double max_norm) {
  const c10::NoGradGuard no_grad;
  const double norm = at::linalg_vector_norm(gradient, 2).item<double>();
  if (max_norm > 0) gradient.mul_(std::min(1.0, max_norm / (norm + 1e-6)));
  return norm;
}

}  // namespace genflow::nn::train
