// What an attempt has read, looked at again once it has ended.
#pragma once

#include <string>

#include "config/pipeline.h"
#include "engine/stage_key.h"

namespace genflow {

// Whether the artifacts that the stage has read are still whole (by their fingerprints: kCorrupt when one is
// not, and it has been set aside), and whether the files of the workspace that it has read are those of
// `key`: "" or what has changed, as a sentence.
Result<std::string> CheckInputs(const StageSpec& stage, const StageKey& key, const KnownOutputs& outputs,
                                Store& store);

}  // namespace genflow
