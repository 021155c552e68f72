// What commands share: the pipeline file, the store, the catalog of stages.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/manifest.h"
#include "base/result.h"
#include "config/pipeline.h"
#include "store/store.h"

namespace genflow::cli {

// Options of the commands that read a pipeline.
struct PipelineOptions {
  std::string file;                       // empty: pipeline.yaml here
  std::vector<std::string> params;        // -p name=value
  std::vector<std::string> params_files;  // -f, later ones win
  std::vector<std::string> profiles;      // --profile, later ones win
  std::string secrets_file;
  std::string store;
  bool inputs_allowed = false;  // the file may be one that only others run
};

// The stages of every plugin that was found; what could not be read is warned of on stderr.
Catalog UsableCatalog();
// The stage, or an error that names the nearest one.
Result<const StageInfo*> FindStageInfo(const Catalog& catalog, const std::string& name);

// `options.file`, or pipeline.yaml in the current folder.
Result<std::filesystem::path> PipelineFile(const PipelineOptions& options);

// Where the store of a pipeline is: `--store`, $GENFLOW_STORE, or .genflow beside the pipeline's file.
std::filesystem::path StoreOfPipeline(const std::string& option, const std::filesystem::path& pipeline_file);
// For commands without a pipeline: `--store`, $GENFLOW_STORE, or the nearest .genflow from here upwards.
Result<std::filesystem::path> StoreFolder(const std::string& option);
// Opens that store, and says its notices on stderr.
Result<Store> OpenStore(const std::string& option, bool read_only);

// "notice: ..." on stderr for each of them.
void ShowNotices(const Store& store);

// Loads, checks (the plugins have their word) and resolves a pipeline. Diagnostics hold errors and warnings;
// without errors there is a pipeline. `store` gives the salt for the digests of secrets. Without it the
// pipeline is checked alone: secrets need not be set, and files are looked for but not listed.
Result<LoadResult> LoadForUse(const PipelineOptions& options, const std::filesystem::path& file,
                              const Catalog& catalog, Store* store);

}  // namespace genflow::cli
