#pragma once

#include <string>

#include "genflow/plugin.hpp"

namespace genflow::stages {

struct ModelImport {
  static constexpr const char* kName = "model.import";
  static constexpr const char* kVersion = "1.0.0";
  static constexpr const char* kSummary =
      "Brings a language model into the run: a Hugging Face folder or a GGUF file.";

  std::string path;

  void Declare(Spec& spec);
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
