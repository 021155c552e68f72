// PEFT adapter folders: adapter_config.json and adapter_model.safetensors, read and written as peft 0.21
// does.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "nn/train/lora.h"

namespace genflow::nn::train {

// adapter::ReadLoraConfig of an adapter that belongs to the model it was made from.
Result<LoraConfig> ReadAdapterConfig(const std::filesystem::path& folder);

// Attaches the adapter of `folder` to the model with its tensors. Every tensor of the file must have its
// place in the model, and every targeted projection its tensors. Not trainable: for evaluation.
Result<LoraSet> LoadAdapter(CausalLM& model, const std::filesystem::path& folder, bool trainable = false);

// Creates `folder` (which must not exist, or be empty). Same adapter, same bytes. What PiSSA began is
// converted, as PEFT's save_pretrained(path_initial_model_for_weight_conversion=...) does it: to a plain LoRA
// of twice the rank, which fits the unchanged base.
Status SaveAdapter(const LoraSet& lora, const std::filesystem::path& folder);

}  // namespace genflow::nn::train
