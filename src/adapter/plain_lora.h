// An adapter as programs take it that know LoRA alone: one alpha, scaled by alpha / rank.
#pragma once

#include <filesystem>
#include <string>

#include "adapter/weights.h"
#include "base/result.h"
#include "formats/model_source.h"

namespace genflow::adapter {

// kUnsupported, with the reason, when what the adapter does is more than W + c B A. `consumer` stands in the
// message: "llama.cpp's LoRA files".
Status CheckPlain(const Weights& weights, const std::filesystem::path& folder, const std::string& consumer);

// Makes every scaling alpha / rank with one alpha, and returns that: the one that all modules share, or else
// lora_alpha, with the rest of the scaling folded into B.
double FoldScalings(Weights* weights);

// Writes the adapter in `folder` as a PEFT folder of plain LoRA, as vLLM takes it: every module of one rank
// (the highest; smaller ones are filled with zeros) and scaled by lora_alpha / r, without use_rslora and
// patterns. The model computes the same with it. DoRA and modules_to_save are refused.
Status WritePlainLora(const std::filesystem::path& to, const formats::ModelSource& base,
                      const std::filesystem::path& folder, const ReadOptions& options = {});

}  // namespace genflow::adapter
