// package.model: a tuned model in the formats that others open.
#pragma once

#include <filesystem>
#include <string>

#include "genflow/plugin.hpp"

namespace genflow::stages {

struct PackageModel {
  static constexpr const char* kName = "package.model";
  static constexpr const char* kVersion = "1.2.0";
  static constexpr const char* kSummary =
      "Ships a tuned model: adapter, merged model, GGUF, model card, checksums.";

  std::string name, about, license, base_name, gguf_type, dtype;
  bool merged = true, gguf = true, gguf_adapter = false;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
