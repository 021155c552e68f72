// Writes whole models: Hugging Face folders and GGUF files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/dtype.h"
#include "formats/gguf_quantization.h"
#include "formats/model_source.h"

namespace genflow::formats {

// Fills `to` with the tensor `name` of the model being written, in Hugging Face's row order, as `type`.
// Called once a tensor, in the file's order, from one thread.
using TensorFiller = std::function<Status(std::string_view name, DType type, void* to, size_t bytes)>;

// A model to be written: the tensors of `base`, with the values of `fill`.
struct ModelContent {
  ModelSource base;
  TensorFiller fill;
  // lm_head.weight is written as a tensor of its own, although `base` ties it to the embeddings.
  bool untie = false;

  // Names and shapes, in the order of `base`.
  std::vector<TensorInfo> Tensors() const;
};

// The tensors of `source` unchanged.
ModelContent CopyOf(const ModelSource& source);

// Creates `folder` with config.json, generation_config.json, model.safetensors (all tensors in `type`) and
// the tokenizer files: copied byte for byte when the base is a Hugging Face folder, rebuilt when it is a
// GGUF.
Status WriteHuggingFaceModel(const std::filesystem::path& folder, const ModelContent& model, DType type);

struct GgufModelOptions {
  GgufType type = GgufType::kF16;
  std::string name;  // general.name; "" keeps the base's
};

// Writes a GGUF that llama.cpp opens: llama-family architectures, byte-level BPE vocabulary, chat template.
// The metadata of a GGUF base is kept. Peak memory: the largest tensor in f32, three times.
Status WriteGgufModel(const std::filesystem::path& file, const ModelContent& model,
                      const GgufModelOptions& options = {});

}  // namespace genflow::formats
