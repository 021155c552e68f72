// `artifacts lineage`.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/commands.h"

namespace genflow::cli {

void AddLineageCommand(CLI::App& artifacts, Action& action);

}  // namespace genflow::cli
