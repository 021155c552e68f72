// The models that users name on the command line.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "store/store.h"

namespace genflow::cli {

// The version that "NAME@VERSION", "NAME@ALIAS" or "NAME" (its latest) means.
Result<ModelVersion> FindModel(Store& store, const std::string& ref);

// The folder or file that `ref` means: a path, or else a registered model of the store, of type `type`
// ("model", "adapter").
Result<std::filesystem::path> ModelPath(const std::string& ref, const std::string& store,
                                        const std::string& type);

}  // namespace genflow::cli
