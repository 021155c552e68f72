// LoRA adapters as GGUF files, as llama.cpp's convert_lora_to_gguf.py writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/dtype.h"
#include "formats/model_source.h"

namespace genflow::formats {

// The update of one weight under its Hugging Face name. Points to f32 numbers that live while it is used.
struct LoraPair {
  std::string weight;  // "model.layers.0.self_attn.q_proj.weight"
  int64_t rank = 0, in = 0, out = 0;
  const float* a = nullptr;  // [rank, in]
  const float* b = nullptr;  // [out, rank]
};

struct GgufLora {
  std::string name;  // general.name
  // llama.cpp adds alpha / rank * B A.
  float alpha = 0;
  std::vector<LoraPair> pairs;
};

// Writes a GGUF of general.type "adapter" for `base`, the matrices as `type`, the rows of B in the order of
// the GGUF's weight. kUnsupported when the base is of no architecture that llama.cpp's converter knows here.
Status WriteGgufLora(const std::filesystem::path& file, const ModelSource& base, const GgufLora& adapter,
                     DType type);

}  // namespace genflow::formats
