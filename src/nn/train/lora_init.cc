// What A and B begin as.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "nn/guarded.h"
#include "nn/train/lora.h"
#include "nn/train/random.h"

namespace genflow::nn::train {
namespace {

// [r, in] fp32: uniform in +-1 / sqrt(in), or normal with deviation 1 / r.
at::Tensor RandomDown(const LoraSet::Module& module, bool gaussian, uint64_t seed) {
  Random random(seed, module.name);
  const double bound = 1.0 / std::sqrt(static_cast<double>(module.a.size(1)));
  const double deviation = 1.0 / static_cast<double>(module.a.size(0));
  at::Tensor host = at::empty(module.a.sizes(), at::kFloat);
  float* values = host.mutable_data_ptr<float>();
  for (int64_t i = 0; i < host.numel(); ++i) {
    values[i] =
        static_cast<float>(gaussian ? random.Normal() * deviation : (2 * random.Uniform() - 1) * bound);
  }
  return host;
}

// W = U S V^T: B = U_r sqrt(S_r / s), A = sqrt(S_r / s) V_r^T, W -= s B A, as PEFT's "pissa" has it.
void TakeSingularPart(const LoraSet::Module& module) {
  Linear& linear = *module.linear;
  const int64_t r = module.a.size(0);
  const at::Tensor weight = linear.weight.to(at::kFloat);
  const auto [u, s, vt] = at::linalg_svd(weight.cpu(), /*full_matrices=*/false);  // the same for every device
  const at::Tensor root = (s.narrow(0, 0, r) / module.scaling).sqrt();
  const at::Tensor a = (root.unsqueeze(1) * vt.narrow(0, 0, r)).to(weight.device());
  const at::Tensor b = (u.narrow(1, 0, r) * root.unsqueeze(0)).to(weight.device());
  module.a.copy_(a);
  module.b.copy_(b);
  linear.weight.copy_(weight - at::mm(b, a).mul_(module.scaling));  // in its place in a group
}

}  // namespace

Status InitLora(LoraSet& lora, uint64_t seed) {
  const std::string& init = lora.config().init_lora_weights;
  if (!init.empty() && init != "gaussian" && init != "pissa") {
    return InvalidError("lora.init_lora_weights is '" + init + "', expected true, gaussian or pissa");
  }
  for (const auto& module : lora.modules()) {
    if (init != "pissa") break;
    if (module.linear->quantized) {
      return InvalidError("lora.init_lora_weights pissa needs a base that is not quantised",
                          "PiSSA changes the base, which a quantised one cannot take; use quantization none");
    }
    const int64_t most = std::min(module.linear->in_features(), module.linear->out_features());
    if (module.a.size(0) > most) {
      return InvalidError("lora.r is " + std::to_string(module.a.size(0)) + ", and '" + module.name +
                              "' has " + std::to_string(most) + " singular values",
                          "pissa begins with r of them");
    }
  }
  return Guarded("initialising the adapter", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    for (const auto& module : lora.modules()) {
      if (init == "pissa") {
        TakeSingularPart(module);
      } else {
        module.a.copy_(RandomDown(module, init == "gaussian", seed));
        module.b.zero_();
      }
    }
    if (init == "pissa") lora.initial_ = lora.flat().clone();
    return Ok();
  });
}

}  // namespace genflow::nn::train
