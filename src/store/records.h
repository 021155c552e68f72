// What the run store remembers, as plain data. Times are seconds since the Unix epoch; 0 means "not yet".
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace genflow {

// Who produced an artifact first.
struct FirstMaker {
  std::string key, run, stage;
  // Of artifacts that tell of none.
  static const std::shared_ptr<const FirstMaker>& Nobody();
};

// The folder of an object in `objects`.
std::filesystem::path ObjectFolder(const std::filesystem::path& objects, const std::string& digest);

// An immutable file or folder tree, in the store or outside of it. A run holds one for each output: what
// many have in common they share.
struct Artifact {
  std::string digest;  // 64 hexadecimal digits
  std::string type;    // dataset, model, adapter, report, package, file
  bool is_tree = false;
  uint64_t bytes = 0;  // of all regular files
  uint64_t files = 0;  // regular files; 1 for a single file
  double created = 0;
  bool lost = false;  // its object was damaged and set aside; `path()` does not exist
  std::shared_ptr<const FirstMaker> maker = FirstMaker::Nobody();
  std::string port;                                      // of its first maker
  std::shared_ptr<const std::filesystem::path> objects;  // of its store
  std::filesystem::path outside;                         // where it is in no store

  // Absolute path of the file or folder; read-only.
  std::filesystem::path path() const {
    return objects == nullptr ? outside : ObjectFolder(*objects, digest) / "data";
  }
};

// An artifact at a port of a stage.
struct PortArtifact {
  std::string port;
  Artifact artifact;
};

// What a stage put out, in one place for all who keep it.
class Outputs {
 public:
  Outputs() = default;
  Outputs(std::vector<PortArtifact> all)
      : all_(std::make_shared<const std::vector<PortArtifact>>(std::move(all))) {}
  Outputs(std::initializer_list<PortArtifact> all) : Outputs(std::vector<PortArtifact>(all)) {}

  const std::vector<PortArtifact>& all() const { return *all_; }
  auto begin() const { return all_->begin(); }
  auto end() const { return all_->end(); }
  bool empty() const { return all_->empty(); }

 private:
  std::shared_ptr<const std::vector<PortArtifact>> all_ = std::make_shared<const std::vector<PortArtifact>>();
};

// kRecovered: rebuilt from the objects' sidecars after store.db was lost.
enum class RunStatus { kRunning, kOk, kFailed, kGated, kInterrupted, kRecovered };
const char* RunStatusName(
    RunStatus status);  // "running", "ok", "failed", "gated", "interrupted", "recovered"
std::optional<RunStatus> RunStatusFromName(std::string_view name);

// kRun: the stage was executed and succeeded. kGated: it was executed and said no (its outputs are kept).
enum class AttemptStatus { kRunning, kRun, kCached, kFailed, kSkipped, kInterrupted, kGated };
const char* AttemptStatusName(AttemptStatus status);  // "running", "run", "cached", "failed", "skipped", ...
std::optional<AttemptStatus> AttemptStatusFromName(std::string_view name);

struct RunStart {
  std::string pipeline;            // its name
  std::string file;                // absolute path of the pipeline file
  std::string params_json = "{}";  // without secrets
  std::vector<std::string> argv;
  std::string version;              // of genflow
  std::vector<std::string> stages;  // that the run is to do, in their order
  // By stage, for those that are children of a matrix or of a pipeline file that a stage uses: an object
  // that tells of it. Kept as it is.
  std::string origins_json = "{}";
};

struct RunInfo {
  std::string id;  // "20261124-1607-ab12" (UTC), of its start
  std::string pipeline, file, params_json;
  RunStatus status = RunStatus::kRunning;
  double started = 0, finished = 0;
  int pid = 0;
  std::string host;
  std::vector<std::string> argv;
  std::string version;
  std::vector<std::string> stages;  // as in RunStart; empty for a run that is kRecovered
  std::string origins_json = "{}";  // as in RunStart
  std::vector<std::string> tags;
  // Attempts by status, the last of each stage only.
  int stages_run = 0, stages_cached = 0, stages_failed = 0, stages_skipped = 0;
};

// An input of a stage as it was used: the lineage.
struct InputUse {
  std::string port, digest, type;
  std::string source;  // "stage.port" in the same pipeline, or a path; for people
};

struct AttemptStart {
  std::string run, stage, uses;            // uses: "train.lora"
  int attempt = 1;                         // 1, 2, ...
  std::string key;                         // cache key, may be empty when it is not known (skipped)
  std::string key_components_json = "{}";  // what went into the key, to explain later what changed
  std::vector<InputUse> inputs;
  std::string log;  // as from Store::LogPath; may be empty
};

// How an attempt ended.
struct AttemptEnd {
  AttemptStatus status = AttemptStatus::kFailed;
  int exit_code = 0;       // of the worker; -1 when it did not exit
  int exit_signal = 0;     // that ended the worker, or 0
  std::string error_code;  // word of base Code, or empty
  std::string error_message, error_hint;
  std::string summary;  // Markdown from the stage
  uint64_t peak_rss_bytes = 0;
  double cpu_seconds = 0;
  double retry_at = 0;  // when the next attempt of the stage begins; 0: this was the last one
};

struct AttemptInfo {
  int64_t id = 0;
  std::string run, stage, uses;
  int attempt = 1;
  AttemptStatus status = AttemptStatus::kRunning;
  std::string key, key_components_json;
  double started = 0, finished = 0;
  AttemptEnd end;
  std::string log;            // absolute path, or empty
  std::string source_run;     // kCached: the run that produced the outputs
  double source_seconds = 0;  // kCached: how long producing them took
  std::vector<InputUse> inputs;
  std::vector<PortArtifact> outputs;
};

// A key that a stage had in some run.
struct KeyRecord {
  std::string key, components_json;  // "{}" where nothing tells them any more
  int64_t attempt = 0;               // the latest with this key
  std::string run;
  AttemptStatus status = AttemptStatus::kRun;
  double started = 0;
};

// The attempt that made an artifact at a port.
struct MadeBy {
  std::string run, pipeline, stage, uses, port, key;
  double time = 0;
  std::vector<InputUse> inputs;
};

// What a stage made of an artifact that it read.
struct MadeFrom {
  std::string input_ports;  // where it read it, with commas between
  std::string run;          // the last that did
  std::string pipeline, stage, uses;
  std::string port, digest, type;  // the output; empty where the stage has none
  int64_t runs = 0;                // how many did
};

struct RunFilter {
  std::string pipeline;  // empty: any
  std::optional<RunStatus> status;
  std::string tag;   // empty: any
  double since = 0;  // started at or after
  int limit = 0;     // 0: all
};

struct ArtifactFilter {
  std::string run, stage, type;  // empty: any
  int limit = 0;                 // 0: all
};

// One artifact where a stage of a run made or reused it.
struct ArtifactUse {
  std::string run, pipeline, stage, port;
  double time = 0;
  Artifact artifact;
};

struct MetricPoint {
  std::string name;
  double value = 0;
  int64_t step = 0;
  double time = 0;  // 0: now
};

struct MetricSample {
  std::string run, pipeline, stage;
  MetricPoint point;
};

struct ModelVersion {
  std::string name;
  int version = 0;  // 1, 2, ...
  Artifact artifact;
  std::string run;
  double created = 0;
  std::vector<std::string> aliases;
};

// A stage's outputs, found by key and verified.
struct CacheHit {
  std::string key;
  std::vector<PortArtifact> outputs;
  std::string summary;
  std::string run, stage;  // that produced them
  int64_t attempt = 0;     // that produced them
  double seconds = 0;      // it took
};

// Hit, or why not. A bad object has been moved to quarantine/ and the cache row dropped.
struct LookupResult {
  std::optional<CacheHit> hit;
  std::string problem;  // empty for a plain miss; else one sentence for the user
};

}  // namespace genflow
