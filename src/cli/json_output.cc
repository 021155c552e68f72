#include "cli/json_output.h"

#include "cli/stage_origins.h"

namespace genflow::cli {

using nlohmann::json;

namespace {

template <class T>
json List(const std::vector<T>& items) {
  json out = json::array();
  for (const auto& item : items) out.push_back(ToJson(item));
  return out;
}

json Parsed(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  return value.is_discarded() ? json() : value;
}

json Items(const std::vector<GcItem>& items) {
  json out = json::array();
  for (const auto& item : items)
    out.push_back({{"name", item.name}, {"what", item.what}, {"bytes", item.bytes}});
  return out;
}

}  // namespace

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }
std::string DumpPretty(const json& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

json ToJson(const Error& error) {
  json out = {{"code", CodeName(error.code)}, {"message", error.message}};
  if (!error.hint.empty()) out["hint"] = error.hint;
  return out;
}

json ToJson(const Artifact& a) {
  return {{"digest", a.digest},        {"type", a.type},          {"bytes", a.bytes}, {"files", a.files},
          {"path", a.path().string()}, {"created", a.created},    {"lost", a.lost},   {"key", a.maker->key},
          {"run", a.maker->run},       {"stage", a.maker->stage}, {"port", a.port}};
}

json ToJson(const PortArtifact& output) {
  json out = ToJson(output.artifact);
  out["port"] = output.port;
  return out;
}

json ToJson(const ArtifactUse& use) {
  return {{"run", use.run},   {"pipeline", use.pipeline}, {"stage", use.stage},
          {"port", use.port}, {"time", use.time},         {"artifact", ToJson(use.artifact)}};
}

json ToJson(const RunInfo& run) {
  return {{"id", run.id},
          {"pipeline", run.pipeline},
          {"file", run.file},
          {"params", Parsed(run.params_json)},
          {"status", RunStatusName(run.status)},
          {"started", run.started},
          {"finished", run.finished},
          {"pid", run.pid},
          {"host", run.host},
          {"argv", run.argv},
          {"version", run.version},
          {"tags", run.tags},
          {"stage_names", run.stages},
          {"origins", OriginsOf(run)},
          {"stages",
           {{"run", run.stages_run},
            {"cached", run.stages_cached},
            {"failed", run.stages_failed},
            {"skipped", run.stages_skipped}}}};
}

json ToJson(const AttemptInfo& a) {
  json inputs = json::array();
  for (const auto& in : a.inputs) {
    inputs.push_back({{"port", in.port}, {"digest", in.digest}, {"type", in.type}, {"source", in.source}});
  }
  json out = {{"stage", a.stage},
              {"uses", a.uses},
              {"attempt", a.attempt},
              {"status", AttemptStatusName(a.status)},
              {"key", a.key},
              {"key_components", Parsed(a.key_components_json)},
              {"started", a.started},
              {"finished", a.finished},
              {"exit_code", a.end.exit_code},
              {"exit_signal", a.end.exit_signal},
              {"peak_rss_bytes", a.end.peak_rss_bytes},
              {"cpu_seconds", a.end.cpu_seconds},
              {"log", a.log},
              {"inputs", inputs},
              {"outputs", List(a.outputs)},
              {"summary", a.end.summary}};
  if (!a.end.error_message.empty()) {
    out["error"] = {{"code", a.end.error_code}, {"message", a.end.error_message}, {"hint", a.end.error_hint}};
  }
  if (!a.source_run.empty()) out["source_run"] = a.source_run;
  if (a.end.retry_at > 0) out["retry_at"] = a.end.retry_at;
  return out;
}

json ToJson(const StageResult& r) {
  json out = {{"stage", r.stage},
              {"uses", r.uses},
              {"status", StageStatusName(r.status)},
              {"seconds", r.seconds},
              {"attempts", r.attempts},
              {"key", r.key},
              {"outputs", List(r.outputs.all())},
              {"log", r.log.string()},
              {"peak_rss_bytes", r.peak_rss_bytes},
              {"cpu_seconds", r.cpu_seconds},
              {"summary", r.summary}};
  if (!r.reason.empty()) out[r.status == StageStatus::kCached ? "source_run" : "reason"] = r.reason;
  if (r.error) out["error"] = ToJson(*r.error);
  return out;
}

json ToJson(const GcReport& r) {
  return {{"dry_run", r.dry_run},
          {"runs", Items(r.runs)},
          {"objects", Items(r.objects)},
          {"unregistered", Items(r.unregistered)},
          {"staging", Items(r.staging)},
          {"state", Items(r.state)},
          {"quarantine", Items(r.quarantine)},
          {"logs", Items(r.logs)},
          {"kept_objects", r.kept_objects},
          {"kept_bytes", r.kept_bytes},
          {"total_bytes", r.TotalBytes()}};
}

json ToJson(const FsckReport& r) {
  json problems = json::array();
  for (const auto& p : r.problems) {
    problems.push_back({{"kind", FsckKindName(p.kind)},
                        {"subject", p.subject},
                        {"detail", p.detail},
                        {"dependents", p.dependents},
                        {"repaired", p.repaired}});
  }
  return {{"objects", r.objects},
          {"files", r.files},
          {"bytes", r.bytes},
          {"clean", r.clean()},
          {"problems", problems}};
}

}  // namespace genflow::cli
