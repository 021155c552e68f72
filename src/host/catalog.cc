#include "host/catalog.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

#include "base/files.h"
#include "base/strings.h"
#include "genflow/plugin.h"

namespace genflow {

namespace fs = std::filesystem;

std::vector<fs::path> PluginFolders() {
  std::vector<fs::path> out;
  if (const char* path = std::getenv("GENFLOW_PLUGIN_PATH"); path != nullptr) {
    for (const auto piece : Split(path, ':')) {
      if (!piece.empty()) out.emplace_back(piece);
    }
  }
  out.push_back(ExecutablePath().parent_path().parent_path() / "lib/genflow/plugins");
  return out;
}

CatalogResult LoadCatalog(const std::vector<fs::path>& folders) {
  CatalogResult out;
  std::vector<StageInfo> stages;
  std::set<std::string> seen;
  for (const auto& folder : folders) {
    std::error_code ec;
    std::vector<fs::path> files;
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
      if (it->path().extension() == ".so") files.push_back(it->path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) {
      fs::path manifest = file;
      manifest.replace_extension(".json");
      auto text = ReadFile(manifest, 16 << 20);
      if (!text.ok()) {
        out.problems.push_back(InvalidError("plugin " + file.string() + " has no manifest",
                                            "write it with `genflow plugin describe " + file.string() + "`"));
        continue;
      }
      auto plugin = ManifestFromJson(*text, fs::absolute(file, ec));
      if (!plugin.ok()) {
        out.problems.push_back(plugin.error());
        continue;
      }
      if (plugin->abi_major != GENFLOW_ABI_MAJOR || plugin->abi_minor > GENFLOW_ABI_MINOR) {
        out.problems.push_back(MakeError(Code::kUnsupported,
                                         "plugin " + file.string() + " is built for another ABI",
                                         "build it against this version's headers"));
        continue;
      }
      for (auto& stage : plugin->stages) {
        if (seen.insert(stage.name).second) stages.push_back(std::move(stage));
      }
    }
  }
  out.catalog = Catalog(std::move(stages));
  return out;
}

}  // namespace genflow
