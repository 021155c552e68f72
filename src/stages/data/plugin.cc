#include "genflow/plugin.hpp"

#include "stages/data/clean.h"
#include "stages/data/format.h"
#include "stages/data/read.h"
#include "stages/data/split.h"

GENFLOW_PLUGIN("data", "1.0.0", genflow::stages::DataRead, genflow::stages::DataClean,
               genflow::stages::DataSplit, genflow::stages::DataFormat)
