#include "genflow/plugin.hpp"

#include "stages/gate/metrics.h"

GENFLOW_PLUGIN("gate", "1.1.0", genflow::stages::GateMetrics)
