#include "stages/model/import.h"

GENFLOW_PLUGIN("model", "1.0.0", genflow::stages::ModelImport)
