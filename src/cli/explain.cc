// `genflow explain`: the key of one stage, and what a run would make of it.
#include "engine/explain.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/open_pipeline.h"
#include "cli/pipeline_options.h"
#include "cli/plan_view.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

struct Options {
  PipelineOptions pipeline;
  std::string stage;
  bool json = false;
};

int Explain(Options options) {
  // Of one name alone the pipeline is the default one.
  if (options.stage.empty()) std::swap(options.stage, options.pipeline.file);
  if (options.stage.empty() || options.stage.ends_with(".yaml") || options.stage.ends_with(".yml")) {
    return Report(InvalidError("no stage was named",
                               "write `genflow explain PIPELINE STAGE`; `genflow plan` lists the stages"));
  }
  int exit_code = kExitOk;
  auto opened = OpenPipeline(options.pipeline, options.json, &exit_code);
  if (!opened) return exit_code;
  const Pipeline& pipeline = opened->pipeline;
  std::vector<std::string> ids;
  for (const size_t node : pipeline.Select(options.stage)) ids.push_back(pipeline.stages[node].id);
  if (ids.empty()) ids.push_back(options.stage);  // which is refused
  nlohmann::json all = nlohmann::json::array();
  std::string text;
  for (const auto& id : ids) {
    auto explanation = ExplainStage(pipeline, id, opened->store.store());
    if (!explanation.ok()) return Report(explanation.error());
    if (options.json)
      all.push_back(ExplanationToJson(*explanation, pipeline));
    else
      text += (text.empty() ? "" : "\n\n") +
              RenderExplanation(*explanation, pipeline, DetectTerminal(STDOUT_FILENO), RoomForTables());
  }
  if (options.json) text = DumpPretty(all.size() == 1 ? all.front() : all);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddExplainCommand(CLI::App& app, Action& action) {
  CLI::App* explain =
      app.add_subcommand("explain", "Say what a stage's cache key consists of and why it runs or does not");
  auto options = std::make_shared<Options>();
  AddPipelineOptions(*explain, options->pipeline);
  explain->add_option("STAGE", options->stage, "A stage, all children of a matrix, or some: tune[r=16]");
  AddStoreOption(*explain, options->pipeline.store);
  explain->add_flag("--json", options->json, "JSON on stdout");
  explain->footer(
      "Examples:\n  genflow explain pipeline.yaml tune\n  genflow explain tune -p epochs=3 --json");
  explain->callback([&action, options] { action = [options] { return Explain(*options); }; });
}

}  // namespace genflow::cli
