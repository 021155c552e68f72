#include "genflow/plugin.hpp"

#include "stages/package/model.h"

GENFLOW_PLUGIN("package", "1.0.0", genflow::stages::PackageModel)
