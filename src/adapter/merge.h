// A LoRA adapter folded into its base model.
#pragma once

#include <filesystem>

#include "adapter/weights.h"
#include "base/result.h"
#include "formats/model_source.h"
#include "formats/model_writer.h"

namespace genflow::adapter {

// The model `base` with the adapter in `folder` merged as PEFT's merge_and_unload does, in fp32 and one
// tensor at a time: for formats::WriteHuggingFaceModel and WriteGgufModel. The base may be quantised: the
// update is added to what its blocks stand for. Where base ties lm_head to the embeddings and the adapter
// changes one of the two, the merged model unties them. Keeps both alive.
Result<formats::ModelContent> MergedModel(const formats::ModelSource& base,
                                          const std::filesystem::path& folder,
                                          const ReadOptions& options = {});

}  // namespace genflow::adapter
