#include "cli/model_names.h"

#include <algorithm>
#include <vector>

#include "base/strings.h"
#include "cli/workspace.h"

namespace genflow::cli {

Result<ModelVersion> FindModel(Store& store, const std::string& ref) {
  const size_t at = ref.rfind('@');
  const std::string name = ref.substr(0, at), which = at == std::string::npos ? "" : ref.substr(at + 1);
  GF_TRY(const auto models, store.ListModels());
  std::vector<std::string> names, versions;
  for (const auto& model : models) {
    if (std::find(names.begin(), names.end(), model.name) == names.end()) names.push_back(model.name);
    if (model.name != name) continue;
    const bool alias = std::find(model.aliases.begin(), model.aliases.end(), which) != model.aliases.end();
    if (at == std::string::npos || alias || std::to_string(model.version) == which) return model;
    versions.push_back(std::to_string(model.version));
    versions.insert(versions.end(), model.aliases.begin(), model.aliases.end());
  }
  if (!versions.empty()) {
    return MakeError(Code::kNotFound, "there is no model '" + ref + "'",
                     "'" + name + "' has " + Join(versions, ", "));
  }
  const auto near = NearestName(name, names);
  return MakeError(Code::kNotFound, "there is no model '" + name + "'",
                   near            ? "did you mean '" + *near + "'?"
                   : names.empty() ? "`genflow models register NAME ARTIFACT` makes one"
                                   : "`genflow models ls` lists them");
}

Result<std::filesystem::path> ModelPath(const std::string& ref, const std::string& store,
                                        const std::string& type) {
  std::error_code ec;
  if (std::filesystem::exists(ref, ec)) return std::filesystem::path(ref);
  const auto missing = [&] {
    return MakeError(
        Code::kNotFound, "there is no file, folder or registered model '" + ref + "'",
        "give a model folder, a GGUF file or a name that `genflow models ls` shows; `genflow models pull` "
        "fetches a model");
  };
  if (ref.find('/') != std::string::npos || ref.ends_with(".gguf")) return missing();
  auto opened = OpenStore(store, true);
  if (!opened.ok()) {
    if (!store.empty()) return opened.error();
    return missing();
  }
  GF_TRY(const ModelVersion found, FindModel(*opened, ref));
  if (found.artifact.lost) {
    return MakeError(Code::kCorrupt, "'" + ref + "' is lost: its object was damaged",
                     "`genflow fsck` says more; the run that made it can be run again");
  }
  if (found.artifact.type != type)
    return InvalidError("'" + ref + "' is a registered " + found.artifact.type + ", and a " + type +
                        " is needed");
  return found.artifact.path();
}

}  // namespace genflow::cli
