#include "store/archive.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/strings.h"

namespace genflow {

namespace {

using nlohmann::json;

constexpr int kArchiveVersion = 1;

Error BadManifest(const std::string& why) {
  return MakeError(Code::kCorrupt, "the archive is damaged: its manifest " + why, "export the runs again");
}

// JSON knows no infinity.
json NumberToJson(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}
double NumberFromJson(const json& value) {
  if (value.is_string()) {
    const double infinity = std::numeric_limits<double>::infinity();
    return value == "inf" ? infinity : -infinity;
  }
  return value.is_number() ? value.get<double>() : std::nan("");
}

json OutputsToJson(const std::vector<OutputRow>& rows) {
  json out = json::array();
  for (const OutputRow& row : rows)
    out.push_back({{"port", row.port}, {"digest", row.digest}, {"type", row.type}});
  return out;
}

json AttemptToJson(const AttemptInfo& a) {
  json inputs = json::array(), outputs = json::array();
  for (const auto& in : a.inputs)
    inputs.push_back({{"port", in.port}, {"digest", in.digest}, {"type", in.type}, {"source", in.source}});
  for (const auto& out : a.outputs)
    outputs.push_back({{"port", out.port}, {"digest", out.artifact.digest}, {"type", out.artifact.type}});
  return {{"stage", a.stage},
          {"uses", a.uses},
          {"attempt", a.attempt},
          {"status", AttemptStatusName(a.status)},
          {"key", a.key},
          {"components", a.key_components_json},
          {"started", a.started},
          {"finished", a.finished},
          {"exit_code", a.end.exit_code},
          {"exit_signal", a.end.exit_signal},
          {"error_code", a.end.error_code},
          {"error_message", a.end.error_message},
          {"error_hint", a.end.error_hint},
          {"summary", a.end.summary},
          {"peak_rss_bytes", a.end.peak_rss_bytes},
          {"cpu_seconds", a.end.cpu_seconds},
          {"retry_at", a.end.retry_at},
          {"source_run", a.source_run},
          {"source_seconds", a.source_seconds},
          {"inputs", inputs},
          {"outputs", outputs}};
}

json RunToJson(const ArchivedRun& archived) {
  const RunInfo& run = archived.run;
  json out = {{"id", run.id},
              {"pipeline", run.pipeline},
              {"file", run.file},
              {"params", run.params_json},
              {"status", RunStatusName(run.status)},
              {"started", run.started},
              {"finished", run.finished},
              {"pid", run.pid},
              {"host", run.host},
              {"argv", run.argv},
              {"version", run.version},
              {"stages", run.stages},
              {"origins", run.origins_json},
              {"tags", run.tags}};
  out["attempts"] = json::array();
  for (const auto& attempt : archived.attempts) out["attempts"].push_back(AttemptToJson(attempt));
  out["metrics"] = json::array();
  for (const auto& metric : archived.metrics) {
    out["metrics"].push_back({metric.stage, metric.point.name, metric.point.step,
                              NumberToJson(metric.point.value), metric.point.time});
  }
  out["logs"] = json::array();
  for (const auto& log : archived.logs) {
    out["logs"].push_back(
        {{"stage", log.stage}, {"attempt", log.attempt}, {"bytes", log.bytes}, {"sha256", log.sha256}});
  }
  return out;
}

std::vector<OutputRow> OutputsFromJson(const json& in) {
  std::vector<OutputRow> out;
  for (const json& row : in) out.push_back({row.at("port"), row.at("digest"), row.at("type")});
  return out;
}

AttemptInfo AttemptFromJson(const json& in, const std::string& run) {
  AttemptInfo a;
  a.run = run;
  a.stage = in.at("stage");
  a.uses = in.at("uses");
  a.attempt = in.at("attempt");
  a.status = AttemptStatusFromName(in.at("status").get<std::string>()).value_or(AttemptStatus::kFailed);
  a.key = in.at("key");
  a.key_components_json = in.at("components");
  a.started = in.at("started");
  a.finished = in.at("finished");
  a.end.status = a.status;
  a.end.exit_code = in.at("exit_code");
  a.end.exit_signal = in.at("exit_signal");
  a.end.error_code = in.at("error_code");
  a.end.error_message = in.at("error_message");
  a.end.error_hint = in.at("error_hint");
  a.end.summary = in.at("summary");
  a.end.peak_rss_bytes = in.at("peak_rss_bytes");
  a.end.cpu_seconds = in.at("cpu_seconds");
  a.end.retry_at = in.at("retry_at");
  a.source_run = in.at("source_run");
  a.source_seconds = in.at("source_seconds");
  for (const json& input : in.at("inputs"))
    a.inputs.push_back({input.at("port"), input.at("digest"), input.at("type"), input.at("source")});
  for (const OutputRow& row : OutputsFromJson(in.at("outputs"))) {
    PortArtifact output;
    output.port = row.port;
    output.artifact.digest = row.digest;
    output.artifact.type = row.type;
    a.outputs.push_back(std::move(output));
  }
  return a;
}

ArchivedRun RunFromJson(const json& in) {
  ArchivedRun out;
  RunInfo& run = out.run;
  run.id = in.at("id");
  run.pipeline = in.at("pipeline");
  run.file = in.at("file");
  run.params_json = in.at("params");
  run.status = RunStatusFromName(in.at("status").get<std::string>()).value_or(RunStatus::kInterrupted);
  run.started = in.at("started");
  run.finished = in.at("finished");
  run.pid = in.at("pid");
  run.host = in.at("host");
  run.argv = in.at("argv").get<std::vector<std::string>>();
  run.version = in.at("version");
  run.stages = in.at("stages").get<std::vector<std::string>>();
  run.origins_json = in.value("origins", run.origins_json);  // archives of an older genflow have none
  run.tags = in.at("tags").get<std::vector<std::string>>();
  for (const json& attempt : in.at("attempts")) out.attempts.push_back(AttemptFromJson(attempt, run.id));
  for (const json& metric : in.at("metrics")) {
    out.metrics.push_back(
        {metric.at(0), {metric.at(1), NumberFromJson(metric.at(3)), metric.at(2), metric.at(4)}});
  }
  for (const json& log : in.at("logs"))
    out.logs.push_back({log.at("stage"), log.at("attempt"), log.at("bytes"), log.at("sha256")});
  return out;
}

bool IsRunId(const std::string& id) {
  return !id.empty() && id.size() <= 64 &&
         id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

// Whether the listing can be written out without leaving its folder: every name is plain, every folder that
// holds something is listed as one before it.
bool IsSafe(const TreeListing& listing) {
  std::set<std::string, std::less<>> folders;
  const std::string* last = nullptr;
  for (const TreeEntry& entry : listing.entries) {
    if ((last == nullptr) != entry.path.empty()) return false;
    if (last != nullptr && entry.path <= *last) return false;
    if (entry.kind == EntryKind::kFile && !IsDigest(entry.sha256)) return false;
    if (entry.kind == EntryKind::kLink && (last == nullptr || entry.target.empty())) return false;
    if (last != nullptr) {
      const auto names = Split(entry.path, '/');
      for (const auto name : names) {
        if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string_view::npos)
          return false;
      }
      const size_t slash = entry.path.rfind('/');
      const std::string_view parent =
          slash == std::string::npos ? std::string_view() : std::string_view(entry.path).substr(0, slash);
      if (folders.count(parent) == 0) return false;
    }
    if (entry.kind == EntryKind::kFolder) folders.insert(entry.path);
    last = &entry.path;
  }
  return last != nullptr && listing.is_tree == (listing.entries.front().kind == EntryKind::kFolder);
}

Status CheckArchive(const RunArchive& archive) {
  std::set<std::string> digests, ids;
  const std::string* last = nullptr;
  for (const Sidecar& object : archive.objects) {
    if (!IsSafe(object.listing)) return BadManifest("lists an object that cannot be: " + object.digest);
    if (last != nullptr && object.digest <= *last) return BadManifest("lists objects out of order");
    last = &object.digest;
    digests.insert(object.digest);
  }
  const auto all_there = [&](const std::vector<OutputRow>& rows) {
    for (const OutputRow& row : rows) {
      if (digests.count(row.digest) == 0) return false;
    }
    return true;
  };
  for (const ArchivedKey& key : archive.keys) {
    if (!all_there(key.outputs)) return BadManifest("names an object that is not in the archive");
  }
  for (const Artifact& lost : archive.lost) {
    if (!IsDigest(lost.digest)) return BadManifest("names a digest that is none");
    digests.insert(lost.digest);
  }
  for (const ArchivedRun& run : archive.runs) {
    if (!IsRunId(run.run.id) || !ids.insert(run.run.id).second)
      return BadManifest("names a run that cannot be: " + run.run.id);
    if (run.run.status == RunStatus::kRunning) return BadManifest("holds a run that is running");
    for (const AttemptInfo& attempt : run.attempts) {
      for (const PortArtifact& output : attempt.outputs) {
        if (digests.count(output.artifact.digest) == 0)
          return BadManifest("names an object that is not in the archive");
      }
    }
    for (const ArchivedLog& log : run.logs) {
      if (!IsDigest(log.sha256)) return BadManifest("names a digest that is none");
    }
  }
  return Ok();
}

}  // namespace

std::string ObjectEntryName(const std::string& digest, const TreeEntry& entry) {
  const std::string data = "objects/" + digest.substr(0, 2) + "/" + digest + "/data";
  return entry.path.empty() ? data : data + "/" + entry.path;
}

std::string ArchiveToJson(const RunArchive& archive) {
  json out = {{"genflow_export", kArchiveVersion},
              {"runs", json::array()},
              {"objects", json::array()},
              {"lost", json::array()},
              {"keys", json::array()}};
  for (const auto& run : archive.runs) out["runs"].push_back(RunToJson(run));
  for (const auto& object : archive.objects) out["objects"].push_back(json::parse(SidecarToJson(object)));
  for (const auto& lost : archive.lost) {
    out["lost"].push_back({{"digest", lost.digest},
                           {"type", lost.type},
                           {"created", lost.created},
                           {"key", lost.maker->key},
                           {"run", lost.maker->run},
                           {"stage", lost.maker->stage},
                           {"port", lost.port}});
  }
  for (const auto& key : archive.keys) {
    out["keys"].push_back({{"key", key.key},
                           {"run", key.run},
                           {"stage", key.stage},
                           {"summary", key.summary},
                           {"seconds", key.seconds},
                           {"created", key.created},
                           {"outputs", OutputsToJson(key.outputs)}});
  }
  return out.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<RunArchive> ArchiveFromJson(std::string_view text) {
  RunArchive out;
  try {
    const json in = json::parse(text);
    const int version = in.at("genflow_export");
    if (version > kArchiveVersion) {
      return MakeError(Code::kUnsupported,
                       "the archive was made by a newer genflow (format " + std::to_string(version) +
                           ", this one knows up to " + std::to_string(kArchiveVersion) + ")",
                       "upgrade genflow");
    }
    for (const json& run : in.at("runs")) out.runs.push_back(RunFromJson(run));
    for (const json& object : in.at("objects")) {
      const std::string digest = object.at("digest");
      if (!IsDigest(digest)) return BadManifest("names a digest that is none");
      auto sidecar = ParseSidecar(object.dump(), "the manifest", digest);
      if (!sidecar.ok()) return BadManifest("lists an object whose digest is another: " + digest);
      out.objects.push_back(*std::move(sidecar));
    }
    for (const json& lost : in.at("lost")) {
      Artifact artifact;
      artifact.digest = lost.at("digest");
      artifact.type = lost.at("type");
      artifact.created = lost.at("created");
      artifact.maker =
          std::make_shared<const FirstMaker>(FirstMaker{lost.at("key"), lost.at("run"), lost.at("stage")});
      artifact.port = lost.at("port");
      artifact.lost = true;
      out.lost.push_back(std::move(artifact));
    }
    for (const json& key : in.at("keys")) {
      out.keys.push_back({key.at("key"), key.at("run"), key.at("stage"), key.at("summary"), key.at("seconds"),
                          key.at("created"), OutputsFromJson(key.at("outputs"))});
    }
  } catch (const json::exception&) {
    return BadManifest("is not what genflow writes");
  }
  GF_CHECK_OK(CheckArchive(out));
  return out;
}

}  // namespace genflow
