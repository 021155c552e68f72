// guard.probe: a model under adversarial prompts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "genflow/plugin.hpp"
#include "stages/eval/common.h"

namespace genflow::stages {

struct GuardProbe {
  static constexpr const char* kName = "guard.probe";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "Tempts a model with adversarial prompts and counts what it withstands.";

  ModelParams model;
  std::vector<std::string> kinds, probes, words;
  int64_t max_new_tokens = 0, max_probes = 0, batch = 0, ngram = 0, common = 0, prefix_words = 0;
  bool compare_base = false;

  void Declare(Spec& spec);
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
