// adapter_config.json of a PEFT adapter: which modules it changes, and how. Read and written as peft 0.21
// does.
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

  static TargetModules AllLinear() { return {{}, "all-linear"}; }
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
  // How A and B begin, as PEFT calls it: "" for its default, "gaussian", "pissa" (Meng et al. 2024), ...
  std::string init_lora_weights;
  // Modules that the adapter brings whole, in copies of their own, by the ends of their names.
  std::vector<std::string> modules_to_save;
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
// here, and what no adapter can have: a rank out of range, a regular expression that does not compile.
Result<LoraConfig> ReadLoraConfig(const std::filesystem::path& folder);
// The same from the file's text; `name` stands in messages.
Result<LoraConfig> ParseLoraConfig(std::string_view text, const std::string& name);

// The file's text. Keys that LoraConfig does not hold stand as in `rest`, the text of another such file, or
// as peft writes them for a causal language model.
std::string LoraConfigText(const LoraConfig& config, std::string_view rest = {});

// kUnsupported for the adapter in `folder` where it ChangesBase(). `otherwise`: what else helps than its
// conversion.
Status CheckKeepsBase(const LoraConfig& config, const std::filesystem::path& folder,
                      const std::string& otherwise = {});

// kInvalid, by its key, for a regular expression that does not compile.
Status CheckPatterns(const LoraConfig& config);

// Rank and scaling of a module, after the config's patterns.
struct LoraRank {
  int64_t r = 0;
  double scaling = 0;
};
Result<LoraRank> RankOf(const LoraConfig& config, const std::string& module);

// Whether the config adapts a module of this name: targeted, not excluded, of a layer that is to be
// transformed.
Result<bool> Adapts(const LoraConfig& config, const std::string& module);

// The entry of modules_to_save that a module of this name ends in; nullptr without one.
const std::string* SavedBy(const LoraConfig& config, const std::string& module);

}  // namespace genflow::adapter
