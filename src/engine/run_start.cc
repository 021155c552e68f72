#include "engine/run_start.h"

namespace genflow {

using nlohmann::json;

namespace {

std::string Text(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

RunStart StartOf(const Pipeline& pipeline, const std::string& file, const std::vector<size_t>& order,
                 const std::vector<std::string>& argv, const Masker& masker) {
  RunStart start;
  start.pipeline = pipeline.name;
  start.file = file;
  start.params_json = masker.Mask(Text(pipeline.params));
  start.argv = masker.Mask(argv);
  start.version = GENFLOW_VERSION;
  json origins = json::object();
  for (const size_t node : order) {
    const StageSpec& stage = pipeline.stages[node];
    start.stages.push_back(stage.id);
    if (json origin = OriginOf(stage.id, stage.matrix); !origin.empty())
      origins[stage.id] = std::move(origin);
  }
  start.origins_json = masker.Mask(Text(origins));
  return start;
}

}  // namespace genflow
