// Writes whole models: Hugging Face folders and GGUF files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "formats/dtype.h"
#include "formats/model_source.h"

namespace genflow::formats {

// Fills `to` with the tensor `name` of the model being written, in Hugging Face's row order, as `type`.
// Called once a tensor, in the file's order, from one thread.
using TensorFiller = std::function<Status(std::string_view name, DType type, void* to, size_t bytes)>;

// A filler that copies the tensors of `source` unchanged.
TensorFiller CopyTensors(const ModelSource& source);

// Creates `folder` with config.json, generation_config.json, model.safetensors (all tensors in `type`) and
// the tokenizer files: copied byte for byte when `base` is a Hugging Face folder, rebuilt when it is a GGUF.
// Names and shapes of the tensors are those of `base`.
Status WriteHuggingFaceModel(const std::filesystem::path& folder, const ModelSource& base, DType type,
                             const TensorFiller& fill);

struct GgufModelOptions {
  DType type = DType::kF16;  // of matrices; vectors (norms, biases) are always F32, as llama.cpp wants
  std::string name;          // general.name; "" keeps the base's
};

// Writes a GGUF that llama.cpp opens: llama-family architectures, byte-level BPE vocabulary, chat template.
Status WriteGgufModel(const std::filesystem::path& file, const ModelSource& base, const TensorFiller& fill,
                      const GgufModelOptions& options = {});

}  // namespace genflow::formats
