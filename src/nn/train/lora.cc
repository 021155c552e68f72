#include "nn/train/lora.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "base/strings.h"
#include "nn/guarded.h"
#include "nn/train/random.h"
#include "text/pattern.h"

namespace genflow::nn::train {

Status CheckConfig(const LoraConfig& config) {
  if (config.r < 1 || config.r > kMaxRank) {
    return InvalidError("lora.r is " + std::to_string(config.r) + ", expected 1 to " +
                        std::to_string(kMaxRank));
  }
  if (!(config.alpha > 0)) return InvalidError("lora.alpha must be greater than 0");
  if (!(config.dropout >= 0 && config.dropout < 1)) {
    return InvalidError("lora.dropout must be at least 0 and less than 1");
  }
  if (config.target_modules.names.empty() && config.target_modules.pattern.empty()) {
    return InvalidError("lora.target_modules is empty", "use all-linear, or a list such as [q_proj, v_proj]");
  }
  GF_TRY([[maybe_unused]] const bool valid, Targets(config.target_modules, "model"));
  GF_TRY([[maybe_unused]] const bool valid_too, Targets(config.exclude_modules, "model"));
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

// As Python's re.fullmatch. `where` names the pattern in messages.
Result<bool> FullMatch(const std::string& pattern, const std::string& module, const char* where) {
  const auto compiled = text::Pattern::Compile(pattern, {.whole = true});
  if (!compiled.ok()) return InvalidError(std::string(where) + ": " + compiled.error().message);
  GF_TRY(const auto match, compiled->Find(module));
  return match.has_value();
}

// The value of the first pattern (a regular expression) that the end of the module's name matches.
template <class T>
Result<T> PatternValue(const LoraConfig::Patterns<T>& patterns, const std::string& module, const char* where,
                       T otherwise) {
  for (const auto& [pattern, value] : patterns) {
    GF_TRY(const bool matches, FullMatch("(.*\\.)?(" + pattern + ")", module, where));
    if (matches) return value;
  }
  return otherwise;
}

}  // namespace

Result<bool> Targets(const TargetModules& targets, const std::string& module) {
  if (targets.pattern == "all-linear") return true;
  if (!targets.pattern.empty()) return FullMatch(targets.pattern, module, "lora.target_modules");
  for (const auto& name : targets.names) {
    if (module == name || module.ends_with("." + name)) return true;
  }
  return false;
}

Result<LoraRank> RankOf(const LoraConfig& config, const std::string& module) {
  GF_TRY(const int64_t r, PatternValue(config.rank_pattern, module, "lora.rank_pattern", config.r));
  GF_TRY(const double alpha, PatternValue(config.alpha_pattern, module, "lora.alpha_pattern", config.alpha));
  if (r < 1 || r > kMaxRank) {
    return InvalidError("lora.rank_pattern gives '" + module + "' the rank " + std::to_string(r) +
                        ", expected 1 to " + std::to_string(kMaxRank));
  }
  const double divisor = config.use_rslora ? std::sqrt(static_cast<double>(r)) : static_cast<double>(r);
  return LoraRank{r, alpha / divisor};
}

namespace {

// 12 for "model.layers.12.self_attn.q_proj".
int64_t LayerOf(const std::string& module) {
  constexpr std::string_view kLayers = ".layers.";
  const size_t at = module.find(kLayers);
  return at == std::string::npos ? -1 : std::atoll(module.c_str() + at + kLayers.size());
}

// Whether the config adapts a module of this name.
Result<bool> Adapts(const LoraConfig& config, const std::string& module) {
  GF_TRY(const bool targeted, Targets(config.target_modules, module));
  if (!targeted) return false;
  GF_TRY(const bool excluded, Targets(config.exclude_modules, module));
  if (excluded) return false;
  const auto& layers = config.layers_to_transform;
  return layers.empty() || std::find(layers.begin(), layers.end(), LayerOf(module)) != layers.end();
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
  std::vector<std::string> existing;
  std::vector<int64_t> ranks;
  Status status;
  model.ForEachLinear([&](const std::string& name, Linear& linear) {
    existing.push_back(name);
    if (!status.ok()) return;
    auto targeted = Adapts(config, name);
    if (!targeted.ok()) {
      status = targeted.error();
    } else if (*targeted) {
      auto rank = RankOf(config, name);
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

  return Guarded("attaching the adapter", [&]() -> Result<LoraSet> {
    int64_t total = 0;
    for (size_t i = 0; i < ranks.size(); ++i) {
      const Linear& linear = *lora.modules_[i].linear;
      total += ranks[i] * (linear.in_features() + linear.out_features());
    }
    const auto options = at::TensorOptions().dtype(at::kFloat).device(model.device());
    lora.flat_ = at::zeros({total}, options);
    if (trainable) lora.flat_grad_ = at::zeros({total}, options);
    int64_t offset = 0;
    // A leaf that shares the flat buffer, with its gradient in place in the other.
    const auto leaf = [&](int64_t rows, int64_t columns) {
      at::Tensor tensor = lora.flat_.narrow(0, offset, rows * columns).view({rows, columns}).detach();
      if (trainable) {
        tensor.set_requires_grad(true);
        tensor.mutable_grad() = lora.flat_grad_.narrow(0, offset, rows * columns).view({rows, columns});
      }
      offset += rows * columns;
      return tensor;
    };
    for (size_t i = 0; i < ranks.size(); ++i) {
      LoraSet::Module& module = lora.modules_[i];
      module.a = leaf(ranks[i], module.linear->in_features());
      module.b = leaf(module.linear->out_features(), ranks[i]);
    }
    lora.SetEnabled(true);
    if (trainable) {
      for (size_t i = 0; i < model.layers.size(); ++i)
        model.layers[i].GroupProjections(static_cast<int64_t>(i));
    }
    return std::move(lora);
  });
}

std::vector<ParameterSlice> LoraSet::Slices(double loraplus_lr_ratio) const {
  std::vector<ParameterSlice> slices;
  int64_t offset = 0;
  for (const Module& module : modules_) {
    slices.push_back({offset, module.a.size(0), module.a.size(1), 1});
    offset += module.a.numel();
    slices.push_back({offset, module.b.size(0), module.b.size(1), loraplus_lr_ratio});
    offset += module.b.numel();
  }
  return slices;
}

void LoraSet::SetEnabled(bool enabled) {
  for (Module& module : modules_) {
    module.linear->lora.reset();
    if (enabled) module.linear->lora = LoraSlot{module.a, module.b, module.scaling, config_.dropout};
  }
}

Status InitLora(LoraSet& lora, uint64_t seed) {
  return Guarded("initialising the adapter", [&]() -> Status {
    for (const auto& module : lora.modules()) {
      Random random(seed, module.name);
      const double bound = 1.0 / std::sqrt(static_cast<double>(module.a.size(1)));
      at::Tensor host = at::empty(module.a.sizes(), at::kFloat);
      float* values = host.mutable_data_ptr<float>();
      for (int64_t i = 0; i < host.numel(); ++i) {
        values[i] = static_cast<float>((2 * random.Uniform() - 1) * bound);
      }
      module.a.detach().copy_(host);
      module.b.detach().zero_();
    }
    return Ok();
  });
}

Status MergeLora(LoraSet& lora) {
  return Guarded("merging the adapter", [&]() -> Status {
    for (const auto& module : lora.modules()) {
      at::Tensor& weight = module.linear->weight;
      const at::Tensor update = at::mm(module.b.detach(), module.a.detach()).mul_(module.scaling);
      weight = (weight.to(at::kFloat) + update).to(weight.scalar_type());
    }
    lora.SetEnabled(false);
    return Ok();
  });
}

}  // namespace genflow::nn::train
