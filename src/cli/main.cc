// Entry point of `genflow`: parses the command line and runs one command.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/errors.h"
#include "cli/help_format.h"
#include "cli/version.h"

namespace genflow::cli {

namespace {

// Help names what an option takes, not its C++ type: "--store DIR" where the option says so, "PIPELINE" for a
// positional, which has its own name, and VALUE otherwise.
void NameValues(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_positional())
      option->type_name("");
    else if (option->get_type_name() == "TEXT")
      option->type_name("VALUE");
    else if (option->get_type_name() == "INT" || option->get_type_name().starts_with("INT:"))
      option->type_name("N");
  }
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) NameValues(*command);
}

// The subcommand that the arguments had reached, to look for names near a wrong one.
const CLI::App* Deepest(const CLI::App* app) {
  while (!app->get_subcommands().empty()) app = app->get_subcommands().back();
  return app;
}

std::string CommandLine(const CLI::App* app) {
  return app->get_parent() == nullptr ? app->get_name()
                                      : CommandLine(app->get_parent()) + " " + app->get_name();
}

Error UsageError(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App* at = Deepest(&root);
  const std::string help = "`" + CommandLine(at) + " --help` shows what it takes";
  // Arguments that were not understood: the first one names the mistake.
  const std::vector<std::string> rest =
      at->remaining(true).empty() ? root.remaining(true) : at->remaining(true);
  if (!rest.empty()) {
    const std::string& word = rest.front();
    const bool option = word.size() > 1 && word[0] == '-';
    std::vector<std::string> names;
    for (const auto* choice : at->get_subcommands([](const CLI::App*) { return true; })) {
      if (!option && !choice->get_group().empty()) names.push_back(choice->get_name());
    }
    for (const auto* choice : at->get_options()) {
      for (const auto& name : choice->get_lnames()) {
        if (option) names.push_back("--" + name);
      }
    }
    const auto near = NearestName(word.substr(0, word.find('=')), names);
    const std::string what = option          ? "unknown option '"
                             : names.empty() ? "unexpected argument '"
                                             : "unknown command '";
    if (at == &root && (word == "resume" || word == "repro"))  // what others call it
      return InvalidError(what + word + "'",
                          "`genflow run` with the same arguments goes on where the last run stopped");
    return InvalidError(what + word + "'", near ? "did you mean '" + *near + "'?" : help);
  }
  std::string text = error.what();
  while (text.ends_with('.') || text.ends_with('\n')) text.pop_back();
  return InvalidError(text, help);
}

// What the command said must have arrived: a full disk behind `> file` is no success.
int Delivered(int code) {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  const int why = errno;
  if (flushed && std::ferror(stdout) == 0) return code;
  if (why == EPIPE) return code;  // the reader has seen enough
  (void)Report(why != 0 ? ErrnoError("standard output", why)
                        : MakeError(Code::kIo, "standard output cannot be written"));
  return code == kExitOk ? kExitFailed : code;
}

}  // namespace

int Main(int argc, char** argv) {
  CLI::App app{"From raw data to a guarded language model, in one binary.", "genflow"};
  app.formatter(HelpFormat());
  app.set_version_flag("--version", std::string("genflow ") + kVersion);
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  genflow init\n"
      "  genflow run pipelines/quickstart.yaml\n"
      "  genflow validate pipeline.yaml\n"
      "  genflow logs -f tune\n"
      "\n"
      "`genflow COMMAND --help` shows more.");
  Action action;
  const std::vector<std::string> arguments(argv, argv + argc);
  AddInitCommand(app, action);
  AddRunCommand(app, action, arguments);
  AddPlanCommand(app, action);
  AddExplainCommand(app, action);
  AddGraphCommand(app, action);
  AddValidateCommand(app, action);
  AddRunsCommand(app, action);
  AddStatusCommand(app, action);
  AddScheduleCommand(app, action);
  AddLogsCommand(app, action);
  AddArtifactsCommand(app, action);
  AddModelsCommand(app, action);
  AddReportCommand(app, action);
  AddFsckCommand(app, action);
  AddGcCommand(app, action);
  AddDoctorCommand(app, action);
  AddStagesCommand(app, action);
  AddPluginCommand(app, action);
  AddSchemaCommand(app, action);
  AddVersionCommand(app, action);
  AddCompletionCommand(app, action);
  AddManpagesCommand(app, action);
  AddWorkerCommand(app, action);
  NameValues(app);
  // Asked by shells while a line is being typed: words that are no whole command line.
  if (arguments.size() > 1 && arguments[1] == "__complete")
    return CompleteMain(app, {arguments.begin() + 2, arguments.end()});
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return Delivered(app.exit(help));
  } catch (const CLI::ParseError& error) {
    // `genflow` or `genflow runs` alone asks what there is.
    const CLI::App* at = Deepest(&app);
    const bool group = !at->get_subcommands([](const CLI::App*) { return true; }).empty();
    if (group && at->remaining(true).empty() && app.remaining(true).empty()) {
      std::fputs(app.help().c_str(), stderr);
      return kExitUsage;
    }
    return Report(UsageError(app, error));
  }
  return Delivered(action());
}

}  // namespace genflow::cli

int main(int argc, char** argv) { return genflow::cli::Main(argc, argv); }
