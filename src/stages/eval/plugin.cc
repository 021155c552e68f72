#include "genflow/plugin.hpp"

#include "stages/eval/stages.h"

GENFLOW_PLUGIN("eval", "1.0.0", genflow::stages::EvalPerplexity, genflow::stages::EvalGenerate,
               genflow::stages::EvalLogprobs)
