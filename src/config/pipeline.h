// A pipeline file as checked data: everything that can be known before a run is resolved here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/manifest.h"
#include "config/diagnostic.h"
#include "config/placeholder.h"
#include "config/stage_ref.h"

namespace genflow {

inline constexpr uint64_t kMaxPipelineBytes = 4u << 20;
inline constexpr std::string_view kExecStage = "exec";
inline constexpr size_t kMaxMatrixChildren = 1000;  // of one stage
inline constexpr size_t kMinMasked = 3;             // bytes of a secret that can be masked

// A secret's value. Nothing prints it; Reveal() is for the request to the worker (or the environment of
// an exec stage) alone.
class Secret {
 public:
  Secret() = default;
  Secret(std::string name, std::string value, std::string digest)
      : name_(std::move(name)), digest_(std::move(digest)), value_(std::move(value)) {}
  const std::string& name() const { return name_; }
  const std::string& digest() const { return digest_; }  // salted, 16 hexadecimal digits
  const std::string& Reveal() const { return value_; }

 private:
  std::string name_, digest_, value_;
};

// An artifact that this run of the pipeline does not make: `{ run: latest-ok, output: quality.report }`.
struct OutsideSource {
  // kRun: an output of an earlier run; kModel: a registered model, or an output of the run that made it;
  // kFile: a file or folder of the workspace.
  enum class Kind { kRun, kModel, kFile } kind = Kind::kFile;
  std::string ref;        // "latest-ok", "latest", "tag:NAME" or a run; "NAME@ALIAS"; a path as written
  std::string output;     // "stage.port"; empty: kFile, and the model itself
  bool optional = false;  // nothing is passed on where it is not found
  // What was found, by ResolveOutsideInputs(); an empty digest: nothing.
  std::string digest, label;  // label: for people, "20261124-1607-ab12:quality.report"
  std::filesystem::path path;
};

// An edge that carries an artifact.
struct InputRef {
  std::string port;  // of the consumer; empty: from an expression ${{ stages.S.outputs.P }}
  std::string source_stage, source_port;  // empty for an artifact from outside
  std::string type;                       // of the artifact; "any" is possible for one from outside
  Position position;
  // One of all the artifacts that a reference to a matrix gives to the port: the stage is told from which
  // child each is.
  bool collected = false;
  std::vector<MatrixValue> matrix;  // where collected: of that child
  std::optional<OutsideSource> outside = {};

  // "stage.port"; from outside "latest-ok:stage.port", "helper@production" or "file:PATH".
  std::string Source() const;
};

struct NeedRef {
  std::string stage;
  Position position;
  bool reads = false;  // its metrics or outputs, in a condition
};

// An `if` that asks how other stages went.
struct RunCondition {
  std::string text;                              // without ${{ }}
  std::map<std::string, nlohmann::json> values;  // of the other names in it: "params.x", "env.X", "matrix.r"
  std::map<std::string, std::vector<std::string>> stages;  // what it calls them -> ids
  bool asks_status = false;  // failure(), always(), cancelled() or an outcome: no implicit success()
  bool reacts = false;       // failure(), always() or cancelled()
};

struct IntRange {
  int64_t min = 0, max = 0;
  bool operator==(const IntRange&) const = default;
};

// What a stage asks from the pools; nothing: not said.
struct ResourceSpec {
  std::optional<IntRange> cpus, gpus;  // written 2, or 0..1
  std::optional<uint64_t> memory;      // bytes
  int64_t processes = 1;               // of one attempt
};

struct ExecOutput {
  std::string port, type;
};

// `uses: exec`.
struct ExecSpec {
  std::string run;                  // bash text; may hold output placeholders, never secrets
  std::vector<ExecOutput> outputs;  // in file order
  std::vector<std::string> files;   // globs, relative to the pipeline's folder
};

// A file or folder of the workspace whose content counts in the stage's key. Made by ResolveFiles().
struct FileRef {
  std::string param;           // dotted name; "files" for exec
  std::string name;            // counts in the key; relative to the pipeline's folder; empty for type path
  std::filesystem::path path;  // absolute
};

struct StageSpec {
  std::string id;                   // "tune", "tune[r=16]"
  std::string parent;               // of a child of a matrix: the stage as written, "tune"; else empty
  std::vector<MatrixValue> matrix;  // of a child
  Position position;                // of the id
  std::string uses;
  Position uses_position;
  const StageInfo* info = nullptr;  // null for exec; lives as long as the catalog
  // Nested as in the file, types as plugin.h says, defaults filled in; {} for exec. Strings may hold
  // placeholders. Parameters of type path and files are as written until ResolveFiles().
  nlohmann::json with = nlohmann::json::object();
  // Places of the values under `with`, by dotted name ("lora.r"); entries of lists as "files[0]". For
  // exec also "run" and "files[0]". Values that are defaults have none.
  std::map<std::string, Position> with_positions;
  std::vector<InputRef> inputs;             // in file order; those of a many port stand together
  std::vector<InputRef> expression_inputs;  // artifacts named in expressions; `port` is empty
  std::vector<NeedRef> needs;
  int retries = 0;                    // further attempts after the first
  double retry_backoff = 1;           // seconds before the first retry
  double retry_factor = 2;            // each further wait is this much longer
  double retry_jitter = 0;            // share of a wait, 0 to 1, by which it is made longer or shorter
  std::vector<std::string> retry_on;  // what is tried again: crash, timeout, memory, error, exit, exit:N
  std::optional<double> timeout;      // seconds an attempt may take
  ResourceSpec resources;
  std::string condition;                   // text of `if`, without ${{ }}; empty: none
  bool enabled = true;                     // what `condition` says, as far as it is known before a run
  std::vector<RunCondition> conditions;    // decided in the run; all must hold
  std::map<std::string, std::string> env;  // added to the environment; values may hold placeholders
  std::optional<ExecSpec> exec;
  std::vector<std::string> secrets;  // names used, sorted
  std::filesystem::path dir;         // absolute folder of the file it stands in: paths are relative to it
  std::shared_ptr<const SourceText> source;  // that file; positions are places in it
  std::vector<FileRef> files;                // filled by ResolveFiles(), sorted by (param, name)
};

struct Pipeline {
  std::string name;
  std::filesystem::path file;                        // as given
  std::filesystem::path dir;                         // absolute folder of the file
  nlohmann::json params = nlohmann::json::object();  // name -> value, overrides applied
  std::vector<StageSpec> stages;                     // in file order
  std::map<std::string, size_t, std::less<>> stage_index;
  std::map<std::string, Secret> secrets;  // every secret that is used
  std::shared_ptr<const SourceText> source;

  const StageSpec* Find(std::string_view id) const;
  // Index into `stages`, or nothing.
  std::optional<size_t> IndexOf(std::string_view id) const;
  // What a reference names, in file order: a stage, all children of a matrix ("tune"), those that have some
  // values ("tune[r=16]"), or all stages of a pipeline file that a stage uses ("clean"). Empty: nothing.
  std::vector<size_t> Select(std::string_view ref) const;
};

// The value of a name, or nothing where it is not set.
using NameLookup = std::function<std::optional<std::string>(const std::string&)>;

// Values for parameters, and where each stands.
struct ParamsFile {
  std::shared_ptr<const SourceText> source;
  std::map<std::string, nlohmann::json> values;
  std::map<std::string, Position> names, places;  // of each name and of its value
  std::vector<Diagnostic> problems;               // with the file itself: values may be missing
};

struct LoadOptions {
  const Catalog* catalog = nullptr;  // required for a pipeline, which it must outlive
  // `-p name=value`, in order: values are read as YAML scalars, later ones win.
  std::vector<std::pair<std::string, std::string>> overrides;
  std::vector<ParamsFile> param_files;  // `-f`, later ones win, and `overrides` over all
  std::vector<std::string> profiles;    // `--profile`, later ones win
  NameLookup env;                       // default: the process environment
  NameLookup secrets;                   // default: the environment variable GENFLOW_SECRET_<NAME>
  // Without it, a secret that is not set is a warning and has the digest "unset".
  bool require_secrets = true;
  // Keyed into the digests of secrets; a random text kept in the store.
  std::string secret_salt;
  // Whether a secret parameter may be given as plain text.
  bool secrets_in_clear = false;
  // Whether the file may have inputs, which only a run of a file that uses it can give: to check it alone.
  bool inputs_allowed = false;
};

struct LoadResult {
  std::optional<Pipeline> pipeline;     // present when there is no error
  std::vector<Diagnostic> diagnostics;  // sorted, with those of the parameter files; warnings may come with
                                        // a pipeline
};

// Reads and checks a pipeline file. No other file is opened.
LoadResult LoadPipeline(const std::filesystem::path& file, const LoadOptions& options);
// The same for a text that was read already; `file` gives names in messages and the pipeline's folder.
LoadResult ParsePipeline(std::string text, const std::filesystem::path& file, const LoadOptions& options);

// The parameters of one stage without a pipeline: `text` is what stands under `with:`, and `name` what the
// messages call it. May use env and secrets. The pipeline holds that one stage, without an id, in the current
// folder.
LoadResult ParseStageParams(std::string text, const std::string& name, const StageInfo& info,
                            const LoadOptions& options);

// Makes parameters of type path absolute and expands those of type files, and exec's `files`, in
// `pipeline->stages`: relative to the pipeline's folder, sorted, each file once. Fills StageSpec::files.
// Reports missing paths and globs that match nothing. Disabled stages are left alone.
std::vector<Diagnostic> ResolveFiles(Pipeline* pipeline);

// The folder that a stage's paths are relative to, and where its commands run.
std::filesystem::path FolderOf(const Pipeline& pipeline, const StageSpec& stage);
// The text that a stage's positions are places in.
const SourceText& SourceOf(const Pipeline& pipeline, const StageSpec& stage);

// What ResolveFiles() would report, at the cost of one match a pattern.
std::vector<Diagnostic> CheckFiles(const Pipeline& pipeline);

// After ResolveFiles(): what of `with` counts in a stage's key, without volatile parameters and without those
// of type path and files, which count through StageSpec::files.
nlohmann::json KeyParams(const StageSpec& stage);

// A `NAME=value` file of secrets: empty lines and lines that start with # are skipped, values are taken
// as they stand. Refuses files that others can read.
Result<std::map<std::string, std::string>> ReadSecretsFile(const std::filesystem::path& file);
// A parameter file: one YAML or JSON mapping.
ParamsFile LoadParamsFile(const std::filesystem::path& file);
// The same for a text that was read already; `name` is what the messages call it.
ParamsFile ParseParamsFile(std::string text, const std::string& name);

}  // namespace genflow
