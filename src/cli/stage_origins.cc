#include "cli/stage_origins.h"

#include "config/stage_ref.h"

namespace genflow::cli {

using nlohmann::json;

void AddOrigin(const Pipeline& pipeline, const std::string& stage, json* out) {
  if (const StageSpec* spec = pipeline.Find(stage)) out->update(OriginOf(stage, spec->matrix));
}

json OriginsOf(const RunInfo& run) {
  json out = json::parse(run.origins_json, nullptr, false);
  if (!out.is_object()) out = json::object();
  for (const auto& stage : run.stages) {
    if (out.contains(stage)) continue;
    if (json origin = OriginOf(stage); !origin.empty()) out[stage] = std::move(origin);
  }
  return out;
}

void AddOrigin(const json& origins, const std::string& stage, json* out) {
  const auto found = origins.find(stage);
  out->update(found != origins.end() && found->is_object() ? *found : OriginOf(stage));
}

void RunOrigins::Add(const std::string& run, const std::string& stage, json* out) {
  const auto [known, added] = origins_.try_emplace(run, json::object());
  if (added) {
    if (const auto info = store_.GetRun(run); info.ok()) known->second = OriginsOf(*info);
  }
  AddOrigin(known->second, stage, out);
}

}  // namespace genflow::cli
