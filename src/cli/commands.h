// One function a command: adds itself to the command line and sets what to run.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace genflow::cli {

// What the chosen command does; returns the process's exit code.
using Action = std::function<int()>;

void AddInitCommand(CLI::App& app, Action& action);
// `argv` is recorded with the run.
void AddRunCommand(CLI::App& app, Action& action, const std::vector<std::string>& argv);
void AddPlanCommand(CLI::App& app, Action& action);
void AddExplainCommand(CLI::App& app, Action& action);
void AddGraphCommand(CLI::App& app, Action& action);
void AddValidateCommand(CLI::App& app, Action& action);
void AddRunsCommand(CLI::App& app, Action& action);
void AddScheduleCommand(CLI::App& app, Action& action);
void AddStatusCommand(CLI::App& app, Action& action);
void AddLogsCommand(CLI::App& app, Action& action);
void AddArtifactsCommand(CLI::App& app, Action& action);
void AddModelsCommand(CLI::App& app, Action& action);
void AddModelsConvertCommands(CLI::App& models, Action& action);
void AddModelsChatCommand(CLI::App& models, Action& action);
void AddModelsPullCommand(CLI::App& models, Action& action);
void AddModelsSizeCommand(CLI::App& models, Action& action);
void AddReportCommand(CLI::App& app, Action& action);
void AddFsckCommand(CLI::App& app, Action& action);
void AddGcCommand(CLI::App& app, Action& action);
void AddDoctorCommand(CLI::App& app, Action& action);
void AddStagesCommand(CLI::App& app, Action& action);
void AddStagesRunCommand(CLI::App& stages, Action& action);
void AddPluginCommand(CLI::App& app, Action& action);
void AddSchemaCommand(CLI::App& app, Action& action);
void AddVersionCommand(CLI::App& app, Action& action);
void AddCompletionCommand(CLI::App& app, Action& action);
void AddManpagesCommand(CLI::App& app, Action& action);
void AddWorkerCommand(CLI::App& app, Action& action);

}  // namespace genflow::cli
