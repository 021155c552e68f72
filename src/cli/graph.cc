// `genflow graph`: the stages of a pipeline and what leads from one to another.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/graph_view.h"
#include "cli/json_output.h"
#include "cli/open_pipeline.h"
#include "cli/pipeline_options.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

struct Options {
  PipelineOptions pipeline;
  std::string format = "text", run, output;
  bool status = false, json = false, format_given = false;
};

// The statuses that the stages had in a run of the pipeline: `ref`, or its latest.
Status AddStatuses(Store& store, const Pipeline& pipeline, const std::string& ref, PipelineDrawing* drawing) {
  std::string id;
  if (ref.empty()) {
    RunFilter filter;
    filter.pipeline = pipeline.name;
    filter.limit = 1;
    GF_TRY(const auto runs, store.ListRuns(filter));
    if (runs.empty()) {
      return MakeError(Code::kNotFound, "there is no run of " + pipeline.name + " yet",
                       "`genflow run " + pipeline.file.string() + "` makes one");
    }
    id = runs.front().id;
  } else {
    GF_TRY(id, store.ResolveRun(ref));
  }
  GF_TRY(const auto run, store.GetRun(id));
  GF_TRY(const auto attempts, store.ListAttempts(id));
  const char* otherwise = run.status == RunStatus::kRunning ? "waiting" : "not started";
  for (auto& node : drawing->nodes) {
    const auto last = std::find_if(attempts.rbegin(), attempts.rend(),
                                   [&](const AttemptInfo& attempt) { return attempt.stage == node.id; });
    const bool selected =
        run.stages.empty() || std::find(run.stages.begin(), run.stages.end(), node.id) != run.stages.end();
    node.status = last != attempts.rend() ? AttemptStatusName(last->status)
                  : selected              ? otherwise
                                          : "not selected";
  }
  drawing->run = id;
  return Ok();
}

Result<Pipeline> LoadAlone(const PipelineOptions& options, const Catalog& catalog, bool json,
                           int* exit_code) {
  GF_TRY(const auto file, PipelineFile(options));
  GF_TRY(auto loaded, LoadForUse(options, file, catalog, nullptr));
  if (ShowDiagnostics(loaded, json)) return *std::move(loaded.pipeline);
  *exit_code = kExitUsage;
  return InvalidError("");  // said already
}

// What the file's ending asks for: "text", "mermaid", "dot", "svg" or "json".
std::string FormatOfFile(const std::string& file) {
  const std::string ending = ToLowerAscii(std::filesystem::path(file).extension().string());
  if (ending == ".svg") return "svg";
  if (ending == ".dot" || ending == ".gv") return "dot";
  if (ending == ".mmd" || ending == ".mermaid") return "mermaid";
  return ending == ".json" ? "json" : "text";
}

int Show(Options options) {
  if (!options.format_given && !options.output.empty()) {
    const std::string format = FormatOfFile(options.output);
    options.json |= format == "json";
    if (format != "json") options.format = format;
  }
  static const std::vector<std::string> formats = {"text", "mermaid", "dot", "svg"};
  if (std::find(formats.begin(), formats.end(), options.format) == formats.end()) {
    const auto near = NearestName(options.format, formats);
    return Report(
        InvalidError("--format " + options.format + " is not known",
                     near ? "did you mean '" + *near + "'?" : "it is one of " + Join(formats, ", ")));
  }
  const Catalog catalog = UsableCatalog();
  int exit_code = kExitOk;
  auto pipeline = LoadAlone(options.pipeline, catalog, options.json, &exit_code);
  if (!pipeline.ok()) return exit_code != kExitOk ? exit_code : Report(pipeline.error());
  PipelineDrawing drawing = DrawingOf(*pipeline);
  if (options.status || !options.run.empty()) {
    StoreOptions read;
    read.create = false;
    read.read_only = true;
    auto store = Store::Open(StoreOfPipeline(options.pipeline.store, pipeline->file), read);
    if (!store.ok()) return Report(store.error());
    ShowNotices(*store);
    if (auto done = AddStatuses(*store, *pipeline, options.run, &drawing); !done.ok())
      return Report(done.error());
  }
  const TerminalTraits terminal = DetectTerminal(STDOUT_FILENO);
  const bool to_file = !options.output.empty();
  const std::string text = options.json                  ? DumpPretty(GraphToJson(drawing))
                           : options.format == "mermaid" ? RenderMermaid(drawing)
                           : options.format == "dot"     ? RenderDot(drawing)
                           : options.format == "svg"
                               ? RenderSvg(drawing)
                               : RenderTextGraph(drawing, terminal.unicode, terminal.color && !to_file);
  if (!to_file) {
    std::fputs(text.c_str(), stdout);
    return kExitOk;
  }
  if (auto written = WriteFileAtomic(options.output, text); !written.ok()) return Report(written.error());
  return kExitOk;
}

}  // namespace

void AddGraphCommand(CLI::App& app, Action& action) {
  CLI::App* graph = app.add_subcommand("graph", "Draw a pipeline: as text, Mermaid, DOT or SVG");
  auto options = std::make_shared<Options>();
  AddPipelineOptions(*graph, options->pipeline);
  const CLI::Option* format =
      graph->add_option("--format", options->format, "text, mermaid, dot or svg (default: as -o ends)")
          ->type_name("FORMAT")
          ->capture_default_str();
  graph->add_flag("--status", options->status, "With what became of each stage in the latest run");
  graph->add_option("--run", options->run, "With what became of each stage in this run")->type_name("RUN");
  graph->add_option("-o,--output", options->output, "Into this file instead of stdout")->type_name("FILE");
  AddStoreOption(*graph, options->pipeline.store);
  graph->add_flag("--json", options->json, "Nodes and edges as JSON on stdout");
  graph->footer(
      "Examples:\n  genflow graph pipeline.yaml --status\n  genflow graph pipeline.yaml -o pipeline.svg");
  graph->callback([&action, options, format] {
    options->format_given = format->count() > 0;
    action = [options] { return Show(*options); };
  });
}

}  // namespace genflow::cli
