// The artifacts of all children of a matrix at one port of an exec stage.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/stage_ref.h"
#include "store/records.h"

namespace genflow {

struct FanInEntry {
  std::string stage;  // the child's id
  std::vector<MatrixValue> matrix;
  Artifact artifact;
};

inline constexpr const char* kFanInIndex = "index.json";

// Makes `folder`, with a symbolic link to each artifact, named by the child's id (a '/' in it makes a
// folder), and index.json: a list of {"stage", "matrix", "type", "digest", "path"} in the order of `entries`,
// where `path` is the link's, relative to the folder.
Status MakeFanIn(const std::filesystem::path& folder, const std::vector<FanInEntry>& entries);

}  // namespace genflow
