// One function a command: adds itself to the command line and sets what to run.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace genflow::cli {

// What the chosen command does; returns the process's exit code.
using Action = std::function<int()>;

void AddPluginCommand(CLI::App& app, Action& action);
void AddStagesCommand(CLI::App& app, Action& action);
void AddWorkerCommand(CLI::App& app, Action& action);

}  // namespace genflow::cli
