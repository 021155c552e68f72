#include "nn/train/optimizer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "nn/blockwise.h"

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
    // Neighbours that learn and decay alike are one tensor to the kernel.
    for (const ParameterSlice& slice : slices_) {
      if (runs_.empty() || runs_.back().lr_scale != slice.lr_scale || runs_.back().decays != slice.decays) {
        runs_.push_back(
            {.offset = slice.offset, .columns = 1, .lr_scale = slice.lr_scale, .decays = slice.decays});
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
                        WeightDecay(run), options_.epsilon, /*amsgrad=*/false, /*maximize=*/false);
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

// bitsandbytes' AdamW8bit: moments of tensors of at least 4,096 numbers in 8 bits each, of smaller ones in
// fp32, as those of embeddings.
class AdamW8bit final : public Optimizer {
 public:
  AdamW8bit(const OptimizerOptions& options, at::Tensor parameters, std::vector<ParameterSlice> slices)
      : Optimizer(options, std::move(parameters), std::move(slices)) {
    for (const ParameterSlice& slice : slices_) {
      Moments& m = moments_.emplace_back();
      if (slice.size() >= kSmallest && !slice.is_embedding) {
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
      weight.mul_(1 - rate * WeightDecay(slices_[i]));
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
// no first moment, updates clipped to a root mean square of 1. Second moments of matrices are kept as the
// means of rows and columns.
class Adafactor final : public Optimizer {
 public:
  Adafactor(const OptimizerOptions& options, at::Tensor parameters, std::vector<ParameterSlice> slices)
      : Optimizer(options, std::move(parameters), std::move(slices)) {
    for (const ParameterSlice& slice : slices_) {
      rows_.push_back(at::zeros({slice.is_vector ? 0 : slice.rows}, parameters_.options()));
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
      columns_[i].mul_(decay).add_(square.mean({-2}), 1 - decay);
      at::Tensor update = columns_[i].rsqrt().unsqueeze(0);
      if (!slice.is_vector) {
        rows_[i].mul_(decay).add_(square.mean({-1}), 1 - decay);
        update = (rows_[i] / rows_[i].mean()).rsqrt_().unsqueeze(1) * update;
      }
      update.mul_(g);
      const at::Tensor rms = at::linalg_vector_norm(update, 2) / std::sqrt(static_cast<double>(slice.size()));
      update.div_(rms.clamp_min(1.0));
      const double rate = lr * slice.lr_scale;
      weight.mul_(1 - rate * WeightDecay(slice));
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
