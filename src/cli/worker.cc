// `genflow worker`: the process that runs one stage, or asks a plugin about parameters; hidden from help.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "host/stage_check.h"
#include "host/stage_runner.h"

namespace genflow::cli {

void AddWorkerCommand(CLI::App& app, Action& action) {
  CLI::App* worker = app.add_subcommand("worker", "Run one stage on behalf of the engine");
  worker->group("");
  auto check = std::make_shared<bool>(false);
  worker->add_flag("--check", *check, "Check parameters instead");
  worker->callback(
      [&action, check] { action = [check] { return *check ? CheckWorkerMain() : WorkerMain(); }; });
}

}  // namespace genflow::cli
