#include "genflow/plugin.hpp"

#include "stages/guard/probe.h"

GENFLOW_PLUGIN("guard", "1.0.0", genflow::stages::GuardProbe)
