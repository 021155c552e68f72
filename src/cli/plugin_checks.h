// The plugins' own word on the parameters of a pipeline, before anything runs.
#pragma once

#include <vector>

#include "config/pipeline.h"

namespace genflow::cli {

// Asks the plugins about the parameters of every enabled stage, one process a plugin, side by side. What
// holds a secret or the path of an artifact is left to the stage itself. Parameters that were right once are
// not asked about again: $XDG_CACHE_HOME/genflow/checked remembers them, and may be removed at any time.
std::vector<Diagnostic> CheckWithPlugins(const Pipeline& pipeline);

}  // namespace genflow::cli
