// Stages described for people, from their manifests.
#pragma once

#include <map>
#include <string>

#include "base/manifest.h"

namespace genflow::cli {

// `uses: exec`, which belongs to no plugin, described as stages are.
StageInfo ExecInfo();

// For a terminal: what `genflow stages show` prints.
std::string DescribeStage(const StageInfo& stage, bool color);

// Markdown by file name: "<plugin>.md" for each plugin, and README.md that lists them.
std::map<std::string, std::string> ReferencePages(const Catalog& catalog);

}  // namespace genflow::cli
