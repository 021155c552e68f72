// Artifacts that a pipeline's inputs take from earlier runs, registered models and files.
#pragma once

#include <vector>

#include "config/diagnostic.h"
#include "config/pipeline.h"
#include "engine/stage_key.h"
#include "store/store.h"

namespace genflow {

// Finds what the inputs of enabled stages name outside the pipeline, once, before a run: what a stage then
// reads and what counts in its key is that artifact, whatever happens in the store meanwhile. Reports what is
// not there, unless it is optional. Without a store only files are looked for, and nothing is filled in.
std::vector<Diagnostic> ResolveOutsideInputs(Pipeline* pipeline, Store* store);

// What was found, by InputRef::Source().
KnownOutputs OutsideArtifacts(const Pipeline& pipeline);

}  // namespace genflow
