// adapter_config.json of a PEFT adapter: which modules it changes, and how.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace genflow::adapter {

// Which modules, as PEFT's target_modules.
struct TargetModules {
  // Each entry is the whole name of a module or the end of one after a dot: "q_proj". Used when `pattern` is
  // empty.
  std::vector<std::string> names;
  // "all-linear", or a regular expression that the whole module name must match.
  std::string pattern;
};

struct LoraConfig {
  int64_t r = 8;
  double alpha = 8;
  double dropout = 0;
  TargetModules target_modules;
  TargetModules exclude_modules;             // of those, these not; empty: none
  std::vector<int64_t> layers_to_transform;  // indices of decoder layers; empty: all
  bool use_rslora = false;                   // scaling alpha / sqrt(r) instead of alpha / r
  bool use_dora = false;                     // directions and magnitudes apart (Liu et al. 2024)
  // How A and B began, as PEFT calls it; "" for its default.
  std::string init_lora_weights;
  std::vector<std::string> modules_to_save;  // as TargetModules::names: replaced whole
  // Other ranks and alphas for modules whose name ends in a match of the first (a regular expression); the
  // first pair that matches counts.
  template <class T>
  using Patterns = std::vector<std::pair<std::string, T>>;
  Patterns<int64_t> rank_pattern;
  Patterns<double> alpha_pattern;

  // The adapter belongs to base weights that its initialisation has changed (PiSSA and its kin), and not to
  // those of the model that it was made from.
  bool ChangesBase() const;
};

// Highest rank that is taken: that of a hostile configuration must not decide what is allocated.
constexpr int64_t kMaxRank = 65536;

// Reads adapter_config.json in `folder`. Refuses by key what changes the model in a way that is not computed
// here.
Result<LoraConfig> ReadLoraConfig(const std::filesystem::path& folder);
// The same from the file's text; `name` stands in messages.
Result<LoraConfig> ParseLoraConfig(std::string_view text, const std::string& name);

// Rank and scaling of a module, after the config's patterns.
struct LoraRank {
  int64_t r = 0;
  double scaling = 0;
};
Result<LoraRank> RankOf(const LoraConfig& config, const std::string& module);

// Whether the targets name a module of this name. An invalid regular expression is kInvalid.
Result<bool> Targets(const TargetModules& targets, const std::string& module);
// Whether the config adapts a module of this name: targeted, not excluded, of a layer that is to be
// transformed.
Result<bool> Adapts(const LoraConfig& config, const std::string& module);

}  // namespace genflow::adapter
