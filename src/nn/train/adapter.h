// PEFT adapter folders: adapter_config.json and adapter_model.safetensors, read and written as peft 0.21
// does.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "formats/model_source.h"
#include "formats/model_writer.h"
#include "nn/train/lora.h"

namespace genflow::nn::train {

// Reads adapter_config.json. Refuses what genflow does not compute (biases, layer_replication, ...) by key.
Result<LoraConfig> ReadAdapterConfig(const std::filesystem::path& folder);

// Attaches the adapter of `folder` to the model with its tensors. Every tensor of the file must have its
// place in the model, and every targeted projection its tensors. Not trainable: for evaluation.
Result<LoraSet> LoadAdapter(CausalLM& model, const std::filesystem::path& folder, bool trainable = false);

struct SaveAdapterOptions {
  std::string base_model;  // base_model_name_or_path; "" writes null
};
// Creates `folder` (which must not exist, or be empty). Same adapter, same bytes. What PiSSA began is
// converted, as PEFT's save_pretrained(path_initial_model_for_weight_conversion=...) does it: to a plain LoRA
// of twice the rank, which fits the unchanged base.
Status SaveAdapter(const LoraSet& lora, const std::filesystem::path& folder,
                   const SaveAdapterOptions& options = {});

// The tensors of `base` with the adapter merged in fp32, one at a time and without building the model: what
// formats::WriteHuggingFaceModel and WriteGgufModel ask for. Both arguments are read at once and kept alive.
Result<formats::TensorFiller> MergedTensors(const formats::ModelSource& base,
                                            const std::filesystem::path& folder);

}  // namespace genflow::nn::train
