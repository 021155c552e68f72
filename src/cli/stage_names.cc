#include "cli/stage_names.h"

#include <algorithm>

#include "base/strings.h"
#include "config/stage_ref.h"

namespace genflow::cli {

namespace {

constexpr size_t kShown = 5;

bool IsChild(std::string_view id, const StageRef& ref, std::string_view file) {
  if (id.substr(0, FileEnd(id)) != file) return false;
  const auto parsed = ParseStageRef(id.substr(file.size()));
  return parsed && parsed->bracket && parsed->name == ref.name && MatchesRef(ref, TypedValues(*parsed));
}

bool IsInside(std::string_view id, std::string_view ref) {
  if (ref.empty() || !id.starts_with(ref) || id.size() == ref.size()) return false;
  const char next = id[ref.size()];
  return next == '/' || (next == '[' && id.find('/', ref.size()) != std::string_view::npos);
}

}  // namespace

std::vector<std::string> StagesNamed(const std::string& ref, const std::vector<std::string>& ids) {
  if (std::find(ids.begin(), ids.end(), ref) != ids.end()) return {ref};
  const size_t bracket = ref.find('[', FileEnd(ref));
  const std::string file = ref.substr(0, FileEnd(std::string_view(ref).substr(0, bracket)));
  const auto parsed = ParseStageRef(std::string_view(ref).substr(file.size()));
  std::vector<std::string> out;
  for (const auto& id : ids) {
    if ((parsed && IsChild(id, *parsed, file)) || IsInside(id, ref)) out.push_back(id);
  }
  return out;
}

std::vector<std::string> ArtifactsNamed(Store& store, const std::string& ref) {
  if (store.ResolveArtifact(ref).ok()) return {ref};
  ArtifactFilter filter;
  filter.limit = 0;
  std::string name = ref;
  if (const size_t colon = ref.find(':'); colon != std::string::npos) {
    const auto run = store.ResolveRun(ref.substr(0, colon));
    if (!run.ok()) return {ref};
    filter.run = *run;
    name = ref.substr(colon + 1);
  }
  const size_t dot = name.rfind('.');
  const auto uses = store.ListArtifacts(filter);
  if (dot == std::string::npos || !uses.ok()) return {ref};
  const std::string port = name.substr(dot + 1);
  std::string run;
  std::vector<std::string> stages;  // that made something at the port in that run, the latest first
  for (const auto& use : *uses) {
    if (use.port != port || (!run.empty() && use.run != run)) continue;
    if (StagesNamed(name.substr(0, dot), {use.stage}).empty()) continue;
    run = use.run;
    if (std::find(stages.begin(), stages.end(), use.stage) == stages.end()) stages.push_back(use.stage);
  }
  if (stages.empty()) return {ref};
  const auto info = store.GetRun(run);
  std::vector<std::string> out;
  if (info.ok()) {  // in the order of the pipeline
    for (const auto& stage : info->stages) {
      if (std::find(stages.begin(), stages.end(), stage) != stages.end())
        out.push_back(run + ":" + stage + "." + port);
    }
  }
  if (out.size() == stages.size()) return out;
  out.clear();
  for (const auto& stage : stages) out.push_back(run + ":" + stage + "." + port);
  return out;
}

Result<Artifact> OneArtifactNamed(Store& store, const std::string& ref) {
  auto refs = ArtifactsNamed(store, ref);
  if (refs.size() == 1) return store.ResolveArtifact(refs.front());
  const std::string count = std::to_string(refs.size());
  const bool more = refs.size() > kShown;
  if (more) refs.resize(kShown);
  return InvalidError("'" + ref + "' is " + count + " artifacts",
                      "name one of " + Join(refs, ", ") + (more ? ", ..." : ""));
}

}  // namespace genflow::cli
