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
  auto explanation = ExplainStage(opened->pipeline, options.stage, opened->store.store());
  if (!explanation.ok()) return Report(explanation.error());
  const std::string text = options.json ? DumpPretty(ExplanationToJson(*explanation, opened->pipeline))
                                        : RenderExplanation(*explanation, opened->pipeline, AnswerWidth(),
                                                            DetectTerminal(STDOUT_FILENO).color);
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddExplainCommand(CLI::App& app, Action& action) {
  CLI::App* explain =
      app.add_subcommand("explain", "Say what a stage's cache key consists of and why it runs or does not");
  auto options = std::make_shared<Options>();
  AddPipelineOptions(*explain, options->pipeline);
  explain->add_option("STAGE", options->stage, "A stage of the pipeline");
  AddStoreOption(*explain, options->pipeline.store);
  explain->add_flag("--json", options->json, "JSON on stdout");
  explain->footer(
      "Examples:\n  genflow explain pipeline.yaml tune\n  genflow explain tune -p epochs=3 --json");
  explain->callback([&action, options] { action = [options] { return Explain(*options); }; });
}

}  // namespace genflow::cli
