// `genflow worker`: the process that runs one stage; started by the engine, hidden from help.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "host/stage_runner.h"

namespace genflow::cli {

void AddWorkerCommand(CLI::App& app, Action& action) {
  CLI::App* worker = app.add_subcommand("worker", "Run one stage on behalf of the engine");
  worker->group("");
  worker->callback([&action] { action = [] { return WorkerMain(); }; });
}

}  // namespace genflow::cli
