#include "genflow/plugin.hpp"

#include "stages/train/lora.h"

GENFLOW_PLUGIN("train", "1.0.0", genflow::stages::TrainLora, genflow::stages::TrainFull)
