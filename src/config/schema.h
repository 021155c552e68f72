// A JSON Schema of pipeline files for editors (yaml-language-server and others).
#pragma once

#include <nlohmann/json.hpp>

#include "base/manifest.h"

namespace genflow {

// Draft 2020-12. Stages are completed by name; `with`, `in` and `out` follow from `uses`, with the
// documentation, defaults, ranges and choices of each parameter.
nlohmann::json PipelineJsonSchema(const Catalog& catalog);

}  // namespace genflow
