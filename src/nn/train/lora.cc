#include "nn/train/lora.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "formats/weight_names.h"
#include "nn/dora_linear.h"
#include "nn/guarded.h"

namespace genflow::nn::train {
namespace {

std::string RankExpected() { return ", expected 1 to " + std::to_string(adapter::kMaxRank); }

}  // namespace

Status CheckConfig(const LoraConfig& config) {
  if (config.r < 1 || config.r > adapter::kMaxRank)
    return InvalidError("lora.r is " + std::to_string(config.r) + RankExpected());
  if (!(config.alpha > 0)) return InvalidError("lora.alpha must be greater than 0");
  if (!(config.dropout >= 0 && config.dropout < 1)) {
    return InvalidError("lora.dropout must be at least 0 and less than 1");
  }
  if (config.init_lora_weights == "pissa" && config.use_dora) {
    return InvalidError("lora.init_lora_weights pissa does not go with lora.use_dora",
                        "an adapter that PiSSA began fits the model it was made from after a conversion, "
                        "which DoRA's magnitudes have none of");
  }
  if (config.target_modules.names.empty() && config.target_modules.pattern.empty()) {
    return InvalidError("lora.target_modules is empty", "use all-linear, or a list such as [q_proj, v_proj]");
  }
  if (const Status patterns = adapter::CheckPatterns(config); !patterns.ok()) {
    const Error& error = patterns.error();
    return MakeError(error.code, "lora." + error.message, error.hint);
  }
  for (const auto& [pattern, r] : config.rank_pattern) {
    if (r < 1 || r > adapter::kMaxRank) {
      return InvalidError("lora.rank_pattern gives '" + pattern + "' the rank " + std::to_string(r) +
                          RankExpected());
    }
  }
  for (const auto& [pattern, alpha] : config.alpha_pattern) {
    if (!(alpha > 0)) return InvalidError("lora.alpha_pattern '" + pattern + "' must be greater than 0");
  }
  for (const int64_t layer : config.layers_to_transform) {
    if (layer < 0)
      return InvalidError("lora.layers_to_transform holds " + std::to_string(layer) +
                          ", a layer has an index from 0 up");
  }
  return Ok();
}

namespace {

std::string LastPart(const std::string& name) { return name.substr(name.rfind('.') + 1); }

Error NothingMatches(const TargetModules& targets, const std::vector<std::string>& existing) {
  std::set<std::string> kinds;
  for (const auto& name : existing) kinds.insert(LastPart(name));
  const std::vector<std::string> list(kinds.begin(), kinds.end());
  std::string hint = "the model has " + Join(list, ", ") + " in layers such as '" +
                     (existing.empty() ? "" : existing.front()) + "'";
  std::vector<std::string> asked = targets.names;
  if (asked.empty()) {
    asked.push_back(targets.pattern);
    if (kinds.contains(targets.pattern)) hint += "; a name stands in a list: [" + targets.pattern + "]";
  }
  for (const auto& name : asked) {
    if (kinds.contains(name)) continue;
    if (const auto nearest = NearestName(LastPart(name), list)) hint += "; did you mean '" + *nearest + "'?";
  }
  return InvalidError("lora.target_modules '" + Join(asked, "', '") + "' matches no projection of the model",
                      hint);
}

// The layers asked for are there.
Status CheckLayers(const LoraConfig& config, int64_t num_layers) {
  for (const int64_t layer : config.layers_to_transform) {
    if (layer >= num_layers) {
      return InvalidError("lora.layers_to_transform holds " + std::to_string(layer) + ", and the model has " +
                              Counted(static_cast<uint64_t>(num_layers), "layer"),
                          "layers count from 0");
    }
  }
  return Ok();
}

}  // namespace

Result<LoraSet> AttachLora(CausalLM& model, const LoraConfig& config, bool trainable) {
  GF_CHECK_OK(CheckConfig(config));
  GF_CHECK_OK(CheckLayers(config, model.config().num_layers));
  LoraSet lora;
  lora.config_ = config;
  lora.dtype_ = model.dtype();
  std::vector<std::string> existing;
  std::vector<int64_t> ranks;
  Status status;
  model.ForEachLinear([&](const std::string& name, Linear& linear) {
    existing.push_back(name);
    if (!status.ok()) return;
    auto targeted = adapter::Adapts(config, name);
    if (!targeted.ok()) {
      status = targeted.error();
    } else if (*targeted) {
      auto rank = adapter::RankOf(config, name);
      if (!rank.ok()) {
        status = rank.error();
        return;
      }
      lora.modules_.push_back({name, &linear, {}, {}, rank->scaling});
      ranks.push_back(rank->r);
    }
  });
  GF_CHECK_OK(status);
  if (lora.modules_.empty()) return NothingMatches(config.target_modules, existing);
  for (const auto& wanted : config.target_modules.names) {
    bool found = false;
    for (const auto& name : existing) found = found || name == wanted || name.ends_with("." + wanted);
    if (!found) return NothingMatches({{wanted}, ""}, existing);
  }

  GF_CHECK_OK(lora.FindSaved(model));

  return Guarded("attaching the adapter", [&]() -> Result<LoraSet> {
    const c10::NoGradGuard no_grad;
    int64_t total = 0;
    for (size_t i = 0; i < ranks.size(); ++i) {
      const Linear& linear = *lora.modules_[i].linear;
      total += ranks[i] * (linear.in_features() + linear.out_features());
      if (config.use_dora) total += linear.out_features();
    }
    for (const LoraSet::Saved& saved : lora.saved_) total += saved.base.numel();
    lora.Allocate(total, model.device(), trainable);
    for (size_t i = 0; i < ranks.size(); ++i) {
      LoraSet::Module& module = lora.modules_[i];
      const Linear& linear = *module.linear;
      const int64_t layer = formats::LayerOf(module.name);
      module.a = lora.Take({ranks[i], linear.in_features()}, {.layer = layer});
      module.b = lora.Take({linear.out_features(), ranks[i]}, {.is_lora_b = true, .layer = layer});
      if (!config.use_dora) continue;
      module.magnitude = lora.Take({linear.out_features()}, {.layer = layer});
      module.magnitude.detach().copy_(
          DoraLengths(linear.matrix(), {.a = module.a, .b = module.b, .scaling = module.scaling}));
    }
    for (LoraSet::Saved& saved : lora.saved_) {
      const at::Tensor from = saved.base.To(at::kFloat);
      saved.value = lora.Take(from.sizes(), LoraSet::RoleOf(saved.slot.name));
      saved.value.detach().copy_(from);
    }
    lora.SetEnabled(true);
    if (trainable) {
      for (size_t i = 0; i < model.layers.size(); ++i)
        model.layers[i].GroupProjections(static_cast<int64_t>(i));
    }
    return std::move(lora);
  });
}

Status LoraSet::FindSaved(CausalLM& model) {
  if (config_.modules_to_save.empty()) return Ok();
  const Matrix head = model.head();
  tied_ = !model.lm_head.defined() && model.quantized_lm_head == nullptr;
  std::set<std::string> found, kinds;
  for (WeightSlot& slot : model.WeightSlots()) {
    const std::string module = slot.name.substr(0, slot.name.rfind('.'));
    kinds.insert(LastPart(module));
    const std::string* const entry = adapter::SavedBy(config_, module);
    const bool is_tied_head = !slot.matrix().defined();
    if (entry == nullptr) {
      if (is_tied_head) untied_head_ = Saved{slot, head, {}};
      continue;
    }
    found.insert(*entry);
    for (const Module& adapted : modules_) {
      if (adapted.name == module) {
        return InvalidError("lora.modules_to_save and lora.target_modules both name '" + module + "'",
                            "a module is trained whole or by an update");
      }
    }
    saved_.push_back({slot, is_tied_head ? head : slot.matrix(), {}});
  }
  for (const auto& entry : config_.modules_to_save) {
    if (found.contains(entry)) continue;
    const std::vector<std::string> list(kinds.begin(), kinds.end());
    std::string hint = "the model has " + Join(list, ", ");
    if (const auto nearest = NearestName(LastPart(entry), list)) hint += "; did you mean '" + *nearest + "'?";
    return InvalidError("lora.modules_to_save '" + entry + "' matches no module of the model", hint);
  }
  // Without a copy of the embedding the head of a tied model stays what it was.
  const bool embedding_is_saved = std::any_of(saved_.begin(), saved_.end(), [](const Saved& saved) {
    return saved.slot.name == formats::kEmbeddingWeight;
  });
  if (!embedding_is_saved) untied_head_.reset();
  return Ok();
}

void LoraSet::SetEnabled(bool enabled) {
  for (Module& module : modules_) {
    module.linear->lora.reset();
    if (!enabled) continue;
    module.linear->lora = LoraSlot{module.a, module.b, module.scaling, config_.dropout};
    if (!module.magnitude.defined()) continue;
    module.linear->lora->magnitude = module.magnitude;
    module.linear->lora->dora_norm = std::make_shared<DoraNorm>();
  }
  const auto put = [&](const Saved& saved, const Matrix& matrix) {
    *saved.slot.tensor = matrix.tensor;
    if (saved.slot.quantized != nullptr) *saved.slot.quantized = matrix.quantized;
  };
  for (const Saved& saved : saved_) {
    const bool is_head = saved.slot.name == formats::kHeadWeight;
    if (enabled) {
      put(saved, saved.value.requires_grad() ? saved.value : saved.value.to(dtype_));
    } else {
      put(saved, is_head && tied_ ? Matrix() : saved.base);
    }
  }
  if (untied_head_) put(*untied_head_, enabled ? untied_head_->base : Matrix());
}

Status MergeLora(LoraSet& lora) {
  return Guarded("merging the adapter", [&]() -> Status {
    const c10::NoGradGuard no_grad;
    for (const auto& module : lora.modules()) {
      Linear& linear = *module.linear;
      at::Tensor merged = linear.matrix().To(at::kFloat) + at::mm(module.b, module.a).mul_(module.scaling);
      if (module.magnitude.defined()) {
        merged.mul_((module.magnitude / at::linalg_vector_norm(merged, 2, {1})).unsqueeze(1));
      }
      linear.weight = merged.to(lora.dtype());
      linear.quantized = nullptr;
      linear.lora.reset();
    }
    return Ok();
  });
}

}  // namespace genflow::nn::train
