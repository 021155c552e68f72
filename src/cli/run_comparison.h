// Commands that set runs side by side, and that carry them to another store.
#pragma once

#include "cli/commands.h"

namespace genflow::cli {

void AddRunsDiffCommand(CLI::App& runs, Action& action);
void AddRunsCompareCommand(CLI::App& runs, Action& action);
void AddRunsArchiveCommands(CLI::App& runs, Action& action);

}  // namespace genflow::cli
