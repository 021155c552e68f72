// Finding plugins: the stages that this installation offers, from manifests alone.
#pragma once

#include <filesystem>
#include <vector>

#include "base/manifest.h"

namespace genflow {

// Folders that hold plugins, first wins: those of $GENFLOW_PLUGIN_PATH (colon-separated), then
// ../lib/genflow/plugins beside the running binary.
std::vector<std::filesystem::path> PluginFolders();

struct CatalogResult {
  Catalog catalog;
  std::vector<Error> problems;  // plugins that could not be used, each with a hint; the rest still works
};

// Reads every `<name>.json` that stands beside a `<name>.so`.
CatalogResult LoadCatalog(const std::vector<std::filesystem::path>& folders);

}  // namespace genflow
