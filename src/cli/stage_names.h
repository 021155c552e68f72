// The names of stages as users write them, looked up among the ids that a store or a pipeline has.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "store/store.h"

namespace genflow::cli {

// What `ref` means among `ids`, in their order: the stage of that id; else all children of a matrix ("tune"),
// those that have some values, in any order and notation ("tune[lr=0.0002]"), or all stages of a pipeline
// file that a stage uses ("clean").
std::vector<std::string> StagesNamed(const std::string& ref, const std::vector<std::string>& ids);

// The artifacts that "[RUN:]STAGE.PORT" means where STAGE stands for several stages, or for one in another
// notation: as references that Store::ResolveArtifact() knows; of one run, the latest that has any. `ref`
// itself where the store knows it, or nothing is found.
std::vector<std::string> ArtifactsNamed(Store& store, const std::string& ref);
// The one artifact that `ref` means; refused where there are several.
Result<Artifact> OneArtifactNamed(Store& store, const std::string& ref);

}  // namespace genflow::cli
