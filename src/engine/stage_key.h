// The cache key of a stage.
#pragma once

#include <map>
#include <string>

#include "config/pipeline.h"
#include "store/records.h"
#include "store/store.h"

namespace genflow {

struct StageKey {
  std::string key;         // 64 hexadecimal digits
  std::string components;  // canonical JSON of what it is the digest of
};

// An artifact at a stage's output, as known so far: looked up by "stage.port".
using KnownOutputs = std::map<std::string, Artifact, std::less<>>;

// Every artifact the stage reads must be in `outputs`, except outputs that a producer left out (optional
// ones), which count as absent. Digests workspace files through the store's digest cache.
Result<StageKey> ComputeKey(const StageSpec& stage, const KnownOutputs& outputs, Store& store);

}  // namespace genflow
