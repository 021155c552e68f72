#include "cli/run_facts.h"

#include <algorithm>

#include "base/strings.h"
#include "cli/json_output.h"
#include "cli/run_metrics.h"

namespace genflow::cli {

using nlohmann::json;

namespace {

constexpr size_t kDigestShown = 12;

std::string VersionOf(const std::string& components) {
  const json parsed = json::parse(components, nullptr, false);
  if (!parsed.is_object()) return "";
  const auto text = [&](const char* name) {
    const auto found = parsed.find(name);
    return found != parsed.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string version = text("version"), plugin = text("plugin");
  return version.empty() || plugin.empty() ? version : version + " (" + plugin.substr(0, kDigestShown) + ")";
}

}  // namespace

Result<RunFacts> FactsOfRun(Store& store, const std::string& ref) {
  RunFacts out;
  GF_TRY(const auto id, store.ResolveRun(ref));
  GF_TRY(out.run, store.GetRun(id));
  const json params = json::parse(out.run.params_json, nullptr, false);
  if (params.is_object()) {
    for (const auto& [name, value] : params.items()) out.params[name] = value;
  }
  GF_TRY(const auto attempts, store.ListAttempts(id));
  for (const AttemptInfo& attempt : LastAttempts(attempts)) {
    StageFacts stage;
    stage.stage = attempt.stage;
    stage.uses = attempt.uses;
    stage.status = AttemptStatusName(attempt.status);
    stage.seconds = attempt.status == AttemptStatus::kCached ? attempt.source_seconds
                    : attempt.finished > attempt.started     ? attempt.finished - attempt.started
                                                             : 0;
    if (!attempt.key.empty()) {
      GF_TRY(const auto components, store.KeyComponents(attempt.key));
      stage.version = VersionOf(components);
    }
    out.stages.push_back(std::move(stage));
    GF_TRY(const auto metrics, MetricsOf(store, attempt));
    const auto named = [&](const std::string& name) {
      std::string full = attempt.stage + "." + name;
      out.stage_of[full] = attempt.stage;
      return full;
    };
    for (const auto& [name, points] : metrics) out.metrics[named(name)] = points.back().value;
    for (const auto& output : attempt.outputs) out.artifacts[named(output.port)] = output.artifact.digest;
  }
  // In the order of the run's list: cached stages start before others that are ready.
  const auto place = [&](const StageFacts& stage) {
    return std::find(out.run.stages.begin(), out.run.stages.end(), stage.stage);
  };
  std::stable_sort(out.stages.begin(), out.stages.end(),
                   [&](const StageFacts& a, const StageFacts& b) { return place(a) < place(b); });
  return out;
}

std::string StageText(const StageFacts* stage) {
  if (stage == nullptr) return "-";
  if (stage->status == "cached" || stage->seconds == 0) return stage->status;
  return (stage->status == "run" ? "ran" : stage->status) + " " + HumanDuration(stage->seconds);
}

std::string ParamText(const json& value) {
  if (!value.is_string()) return value.is_null() ? "-" : Dump(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool plain = !text.empty() && Trim(text).size() == text.size() &&
                     text.find_first_of("\n\t\"'\\") == std::string::npos;
  return plain ? text : Dump(value);
}

}  // namespace genflow::cli
