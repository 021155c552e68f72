// The types that ports and artifacts have.
#pragma once

#include <string>
#include <vector>

namespace genflow {

inline const std::vector<std::string> kArtifactTypes = {"dataset", "model",   "adapter",
                                                        "report",  "package", "file"};

}  // namespace genflow
