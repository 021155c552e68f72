// Where stages come from, in JSON: "matrix", the values that a child of a matrix has, and "of", the stage as
// it is written in the pipeline file.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "config/pipeline.h"
#include "store/store.h"

namespace genflow::cli {

// Adds what OriginOf() says of a stage to `out`.
void AddOrigin(const Pipeline& pipeline, const std::string& stage, nlohmann::json* out);

// {stage: {"matrix", "of"}} of the stages of a run that have either. Of runs that recorded none: what the
// stages' ids tell.
nlohmann::json OriginsOf(const RunInfo& run);
// Adds what `origins` say of a stage to `out`, or else what its id tells.
void AddOrigin(const nlohmann::json& origins, const std::string& stage, nlohmann::json* out);

// The same for stages of many runs.
class RunOrigins {
 public:
  // The store must outlive it.
  explicit RunOrigins(Store& store) : store_(store) {}
  void Add(const std::string& run, const std::string& stage, nlohmann::json* out);

 private:
  Store& store_;
  std::map<std::string, nlohmann::json> origins_;  // by run
};

}  // namespace genflow::cli
