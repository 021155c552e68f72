#include "cli/workspace.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "cli/plugin_checks.h"
#include "engine/outside_inputs.h"
#include "engine/report_lines.h"
#include "host/catalog.h"

namespace genflow::cli {

namespace fs = std::filesystem;

namespace {

constexpr char kStoreFolder[] = ".genflow";
constexpr char kDefaultPipeline[] = "pipeline.yaml";

// The store's random text for the digests of secrets, made when it is first needed.
Result<std::string> SecretSalt(const Store& store) {
  const fs::path file = store.root() / "secret-salt";
  auto salt = ReadFile(file, 4096);
  if (salt.ok() && salt->size() >= 32) return salt;
  if (store.read_only()) return std::string();
  char bytes[32];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
    return MakeError(Code::kIo, "the system gives no random bytes");
  const std::string text = Sha256Hex({bytes, sizeof bytes});
  GF_CHECK_OK(WriteFileAtomic(file, text, 0600));
  return text;
}

// The store of this folder, or of the nearest one above, or of the only folder below that has one: a run of
// pipelines/x.yaml leaves its store in pipelines/.
Result<fs::path> FindStore() {
  std::error_code ec;
  const fs::path here = fs::current_path(ec);
  for (fs::path folder = here;; folder = folder.parent_path()) {
    if (fs::is_directory(folder / kStoreFolder, ec)) return folder / kStoreFolder;
    if (folder == folder.parent_path()) break;
  }
  std::vector<std::string> below;
  for (fs::directory_iterator it(here, ec), end; !ec && it != end; it.increment(ec)) {
    std::error_code ignored;
    const fs::path store = it->path() / kStoreFolder;
    if (fs::is_directory(store, ignored)) below.push_back((it->path().filename() / kStoreFolder).string());
  }
  std::sort(below.begin(), below.end());
  if (below.size() == 1) return here / below[0];
  if (!below.empty()) {
    return InvalidError("there is no store (.genflow) here or in a folder above, and several below",
                        "say which one: --store " + Join(below, ", --store "));
  }
  return MakeError(Code::kNotFound,
                   "there is no store (.genflow) here, in a folder above or in one right below",
                   "go to the folder of a pipeline that has run, or give --store DIR");
}

// `--store` or $GENFLOW_STORE; empty where neither is given.
fs::path GivenStore(const std::string& option) {
  if (!option.empty()) return option;
  const char* variable = std::getenv("GENFLOW_STORE");
  return variable != nullptr ? variable : "";
}

// Looks a secret up in `file` (empty: none), the environment and the folder $GENFLOW_SECRETS_DIR, in this
// order.
Result<NameLookup> SecretsOf(const std::string& file) {
  std::map<std::string, std::string> given;
  if (!file.empty()) {
    GF_TRY(given, ReadSecretsFile(file));
  }
  const char* folder = std::getenv("GENFLOW_SECRETS_DIR");
  const fs::path secrets = folder == nullptr ? "" : folder;
  std::error_code ec;
  if (!secrets.empty() && !fs::is_directory(secrets, ec))
    return InvalidError("GENFLOW_SECRETS_DIR: " + secrets.string() + " is not a folder",
                        "it holds a file for each secret, named like it");
  return NameLookup([given, secrets](const std::string& name) -> std::optional<std::string> {
    if (const auto it = given.find(name); it != given.end()) return it->second;
    if (const char* value = std::getenv(("GENFLOW_SECRET_" + name).c_str()); value != nullptr) return value;
    if (secrets.empty()) return std::nullopt;
    auto text = ReadFile(secrets / name, 1u << 20);
    if (!text.ok()) return std::nullopt;
    if (text->ends_with('\n')) text->pop_back();
    return *std::move(text);
  });
}

}  // namespace

Catalog UsableCatalog() {
  auto loaded = LoadCatalog(PluginFolders());
  for (const auto& problem : loaded.problems)
    std::fprintf(stderr, "warning: %s\n", problem.ToString().c_str());
  return std::move(loaded.catalog);
}

Result<const StageInfo*> FindStageInfo(const Catalog& catalog, const std::string& name) {
  if (const StageInfo* stage = catalog.Find(name)) return stage;
  const auto near = NearestName(name, catalog.Names());
  return InvalidError("no stage is called '" + name + "'",
                      near ? "did you mean '" + *near + "'?" : "`genflow stages ls` lists them");
}

Result<fs::path> PipelineFile(const PipelineOptions& options) {
  if (!options.file.empty()) return fs::path(options.file);
  std::error_code ec;
  if (fs::exists(kDefaultPipeline, ec)) return fs::path(kDefaultPipeline);
  return InvalidError("no pipeline was given, and there is no pipeline.yaml here",
                      "name one: path/to/pipeline.yaml");
}

fs::path StoreOfPipeline(const std::string& option, const fs::path& pipeline_file) {
  if (fs::path given = GivenStore(option); !given.empty()) return given;
  std::error_code ec;
  return fs::absolute(pipeline_file, ec).parent_path() / kStoreFolder;
}

Result<fs::path> StoreFolder(const std::string& option) {
  if (const fs::path given = GivenStore(option); !given.empty()) return given;
  return FindStore();
}

Result<Store> OpenStore(const std::string& option, bool read_only) {
  StoreOptions options;
  options.create = false;
  options.read_only = read_only;
  GF_TRY(const auto root, StoreFolder(option));
  auto store = Store::Open(root, options);
  if (store.ok()) ShowNotices(*store);
  return store;
}

void ShowNotices(const Store& store) {
  for (const auto& notice : store.notices()) std::fprintf(stderr, "notice: %s\n", notice.c_str());
}

Result<LoadResult> LoadForUse(const PipelineOptions& options, const fs::path& file, const Catalog& catalog,
                              Store* store) {
  LoadOptions load;
  load.catalog = &catalog;
  load.require_secrets = store != nullptr;
  load.inputs_allowed = options.inputs_allowed;
  for (const auto& text : options.params) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidError("-p " + text + " is not NAME=VALUE",
                          "write -p " + (equals == 0 || text.empty() ? "NAME" : text) + "=VALUE");
    }
    if (!IsUtf8(text))
      return InvalidError("-p " + CleanText(text.substr(0, equals)) + ": its value is not UTF-8 text");
    load.overrides.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto& params : options.params_files) load.param_files.push_back(LoadParamsFile(params));
  for (const auto& names : options.profiles) {
    for (const auto name : Split(names, ',')) load.profiles.emplace_back(Trim(name));
  }
  GF_TRY(load.secrets, SecretsOf(options.secrets_file));
  if (store != nullptr) {
    GF_TRY(load.secret_salt, SecretSalt(*store));
  }
  LoadResult loaded = LoadPipeline(file, load);
  if (loaded.pipeline) {
    for (auto& diagnostic : CheckWithPlugins(*loaded.pipeline))
      loaded.diagnostics.push_back(std::move(diagnostic));
    auto found = store != nullptr ? ResolveFiles(&*loaded.pipeline) : CheckFiles(*loaded.pipeline);
    for (auto& diagnostic : found) loaded.diagnostics.push_back(std::move(diagnostic));
    for (auto& diagnostic : ResolveOutsideInputs(&*loaded.pipeline, store))
      loaded.diagnostics.push_back(std::move(diagnostic));
    SortDiagnostics(&loaded.diagnostics);
  }
  return loaded;
}

}  // namespace genflow::cli
