// A PEFT adapter for llama.cpp, beside its base model.
#pragma once

#include <filesystem>
#include <string>

#include "adapter/weights.h"
#include "base/result.h"
#include "formats/dtype.h"
#include "formats/model_source.h"

namespace genflow::adapter {

struct GgufLoraOptions {
  formats::DType type = formats::DType::kF32;
  std::string name;  // general.name
  ReadOptions read;
};

// Writes the adapter in `folder` as a GGUF that llama.cpp puts on a GGUF of `base` (--lora). llama.cpp scales
// by alpha / rank with one alpha: another scaling (rank-stabilised, alpha_pattern) is folded into alpha where
// all modules share it, otherwise into B. DoRA and modules that are replaced whole have no counterpart there
// and are refused.
Status ExportGgufLora(const std::filesystem::path& file, const formats::ModelSource& base,
                      const std::filesystem::path& folder, const GgufLoraOptions& options);

}  // namespace genflow::adapter
