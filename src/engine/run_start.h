// What the store is told of a run as it begins.
#pragma once

#include <string>
#include <vector>

#include "config/pipeline.h"
#include "engine/masker.h"
#include "store/records.h"

namespace genflow {

// `file`: the pipeline's, absolute; `order`: the stages that take part, in topological order.
RunStart StartOf(const Pipeline& pipeline, const std::string& file, const std::vector<size_t>& order,
                 const std::vector<std::string>& argv, const Masker& masker);

}  // namespace genflow
