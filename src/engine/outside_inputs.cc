#include "engine/outside_inputs.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/strings.h"

namespace genflow {

namespace {

namespace fs = std::filesystem;
using Kind = OutsideSource::Kind;

constexpr int kRunsTried = 100;  // until one of the latest has the output
constexpr uint64_t kMaxReport = 256u << 20;
constexpr std::string_view kTag = "tag:";

// The runs that `ref` may mean, the best first.
Result<std::vector<std::string>> Runs(Store& store, const std::string& pipeline, const std::string& ref) {
  RunFilter filter;
  filter.limit = kRunsTried;
  std::string none = "there is no run of '" + pipeline + "' yet";
  if (ref == "latest-ok") {
    filter.pipeline = pipeline;
    filter.status = RunStatus::kOk;
    none = "no run of '" + pipeline + "' has succeeded yet";
  } else if (ref == "latest") {
    filter.pipeline = pipeline;
  } else if (ref.starts_with(kTag)) {
    filter.tag = ref.substr(kTag.size());
    none = "no run has the tag '" + filter.tag + "'";
  } else {
    GF_TRY(auto run, store.ResolveRun(ref));
    return std::vector<std::string>{std::move(run)};
  }
  GF_TRY(const auto runs, store.ListRuns(filter));
  if (runs.empty()) return MakeError(Code::kNotFound, none);
  std::vector<std::string> out;
  for (const auto& run : runs) out.push_back(run.id);
  return out;
}

// The run that made a registered model.
Result<std::string> RunOfModel(Store& store, const std::string& ref) {
  const size_t at = ref.rfind('@');
  const std::string name = ref.substr(0, at), which = ref.substr(at + 1);
  GF_TRY(const auto models, store.ListModels(name));
  for (const auto& model : models) {
    bool meant = std::to_string(model.version) == which;
    for (const auto& alias : model.aliases) meant = meant || alias == which;
    if (meant) return model.run;
  }
  return MakeError(Code::kNotFound, "there is no model '" + ref + "'", "`genflow models ls` lists them");
}

// Whether the file, or the folder's report.json, looks like a report; its stage reads it whole.
Status CheckReport(const fs::path& path, const std::string& name) {
  std::error_code ec;
  const bool folder = fs::is_directory(path, ec);
  GF_TRY(const std::string text, ReadFile(folder ? path / "report.json" : path, kMaxReport));
  const auto report = nlohmann::json::parse(text, nullptr, false);
  const std::string what = name + (folder ? "/report.json" : "");
  const std::string hint = R"(a report holds "format": "genflow.report", "version": 1 and "metrics")";
  if (Trim(text).empty()) return MakeError(Code::kCorrupt, what + " is empty", hint);
  if (report.is_discarded()) return MakeError(Code::kCorrupt, what + " is not JSON", hint);
  if (!report.is_object() || report.value("format", nlohmann::json()) != "genflow.report")
    return MakeError(Code::kCorrupt, what + " is not a report", hint);
  return Ok();
}

class Resolver {
 public:
  Resolver(Pipeline& pipeline, Store* store) : pipeline_(pipeline), store_(store) {}

  std::vector<Diagnostic> Run() {
    for (StageSpec& stage : pipeline_.stages) {
      if (!stage.enabled) continue;
      for (InputRef& input : stage.inputs) {
        if (!input.outside) continue;
        output_missing_ = false;
        const Status found = Find(input);
        if (found.ok() || (input.outside->optional && found.error().code == Code::kNotFound)) continue;
        Report(stage, input, found.error());
      }
    }
    return std::move(diagnostics_);
  }

 private:
  void Report(const StageSpec& stage, const InputRef& input, const Error& error) {
    std::string hint = error.hint;
    const PortInfo* port = stage.info != nullptr ? stage.info->FindInput(input.port) : nullptr;
    const bool may_be_absent = port == nullptr || port->optional;
    if (error.code == Code::kNotFound && may_be_absent && !hint.starts_with("did you mean")) {
      hint += std::string(hint.empty() ? "" : "; ") + "`optional: true` goes on without it";
    }
    Position where = input.position;
    const std::string_view line = pipeline_.source->Line(where.line);
    const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (output_missing_ && std::all_of(line.begin(), line.end(), ascii)) {
      const std::string& output = input.outside->output;  // where it stands beside `run`
      if (const size_t at = line.find(output, static_cast<size_t>(where.column));
          at != std::string_view::npos)
        where = {where.line, static_cast<int>(at) + 1, static_cast<int>(output.size())};
    }
    diagnostics_.push_back(pipeline_.source->Report(where, "in." + input.port + ": " + error.message, hint));
  }

  Status Find(InputRef& input) {
    OutsideSource& source = *input.outside;
    if (source.kind == Kind::kFile) return FindFile(input.type, source);
    if (store_ == nullptr) return Ok();
    GF_TRY(const Artifact artifact, FindArtifact(input));
    if (artifact.lost) {
      return MakeError(Code::kCorrupt, source.label + " is damaged and was set aside",
                       "run its stage again, or name another run");
    }
    if (input.type != "any" && artifact.type != input.type) {
      return InvalidError("expects an artifact of type " + input.type + ", but " + source.label +
                          " is of type " + artifact.type);
    }
    input.type = artifact.type;
    source.digest = artifact.digest;
    source.path = artifact.path();
    return Ok();
  }

  Status FindFile(const std::string& type, OutsideSource& source) {
    const fs::path path = (pipeline_.dir / source.ref).lexically_normal();
    std::error_code ec;
    if (!fs::exists(path, ec)) {
      return MakeError(Code::kNotFound, "no such file or folder: " + source.ref,
                       "it is looked for at " + path.string());
    }
    if (type == "report") GF_CHECK_OK(CheckReport(path, source.ref));
    if (store_ == nullptr) return Ok();
    GF_TRY(source.digest, store_->DigestTree(path));
    source.path = path;
    source.label = source.ref;
    return Ok();
  }

  Result<Artifact> FindArtifact(InputRef& input) {
    OutsideSource& source = *input.outside;
    source.label = source.ref;
    if (source.output.empty()) return store_->ResolveArtifact(source.ref);
    std::vector<std::string> runs;
    if (source.kind == Kind::kModel) {
      GF_TRY(runs.emplace_back(), RunOfModel(*store_, source.ref));
    } else {
      GF_TRY(runs, Runs(*store_, pipeline_.name, source.ref));
    }
    std::optional<Error> first;
    for (const auto& run : runs) {
      auto artifact = store_->ResolveArtifact(run + ":" + source.output);
      if (artifact.ok()) {
        source.label = run + ":" + source.output;
        return artifact;
      }
      if (artifact.error().code != Code::kNotFound) return artifact;
      if (!first) first = artifact.error();
    }
    output_missing_ = true;
    return *first;
  }

  Pipeline& pipeline_;
  Store* store_;
  std::vector<Diagnostic> diagnostics_;
  bool output_missing_ = false;  // the run is there, and has no such output
};

}  // namespace

std::vector<Diagnostic> ResolveOutsideInputs(Pipeline* pipeline, Store* store) {
  return Resolver(*pipeline, store).Run();
}

KnownOutputs OutsideArtifacts(const Pipeline& pipeline) {
  KnownOutputs out;
  for (const auto& stage : pipeline.stages) {
    for (const auto& input : stage.inputs) {
      if (!input.outside || input.outside->digest.empty()) continue;
      Artifact artifact;
      artifact.digest = input.outside->digest;
      artifact.type = input.type;
      artifact.outside = input.outside->path;
      out.insert_or_assign(input.Source(), std::move(artifact));
    }
  }
  return out;
}

}  // namespace genflow
