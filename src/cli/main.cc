// Entry point of `genflow`: parses the command line and runs one command.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/version.h"

int main(int argc, char** argv) {
  CLI::App app{"genflow: from raw data to a guarded language model, in one binary", "genflow"};
  app.set_version_flag("--version", std::string("genflow ") + genflow::cli::kVersion);
  app.require_subcommand(1);
  genflow::cli::Action action;
  genflow::cli::AddStagesCommand(app, action);
  genflow::cli::AddPluginCommand(app, action);
  genflow::cli::AddWorkerCommand(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  return action();
}
