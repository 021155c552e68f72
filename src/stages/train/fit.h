// Whether a training fits into memory, before the model is loaded.
#pragma once

#include <cstdint>

#include "adapter/lora_config.h"
#include "base/result.h"
#include "formats/model_source.h"
#include "genflow/plugin.hpp"
#include "nn/train/sft_data.h"
#include "stages/train/lora.h"

namespace genflow::stages {

// Refuses a training on the CPU that needs more than there is, with the numbers and what to set instead;
// warns where it is close.
Status CheckFit(const Context& context, const TrainLora& stage, const formats::ModelSource& source,
                const adapter::LoraConfig& lora, const nn::train::SftExamples& train, bool bf16);

}  // namespace genflow::stages
