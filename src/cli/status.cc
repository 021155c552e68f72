// `genflow status`: how the pipelines of a store are doing, for people and for monitoring systems.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/pipeline_status.h"
#include "cli/schedules.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string pipeline, store, prometheus;
  bool json = false;
};

double WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Leaves the pipelines that `name` means, by file or by name.
Status Select(StoreStatus& status, const std::string& name) {
  if (name.empty()) return Ok();
  const std::string file = PipelineIdentity(name);
  std::vector<std::string> names;
  for (const auto& p : status.pipelines) names.push_back(p.pipeline);
  std::erase_if(status.pipelines, [&](const auto& p) { return p.file != file && p.pipeline != name; });
  if (!status.pipelines.empty()) return Ok();
  std::error_code ec;
  if (fs::exists(name, ec)) {  // it has not run yet
    PipelineStatus never;
    never.file = file;
    never.pipeline = fs::path(file).stem();
    status.pipelines.push_back(std::move(never));
    return Ok();
  }
  const auto near = NearestName(name, names);
  return MakeError(Code::kNotFound, "'" + name + "' is no pipeline file and no pipeline that has run here",
                   near            ? "did you mean '" + *near + "'?"
                   : names.empty() ? "no pipeline has run in " + status.root.string()
                                   : "these have run here: " + Join(names, ", "));
}

int ShowStatus(const Options& options) {
  if (auto named = CheckPrometheusName(options.prometheus); !named.ok()) return Report(named.error());
  std::error_code ec;
  const bool is_file = !options.pipeline.empty() && fs::exists(options.pipeline, ec);
  auto root = is_file ? Result<fs::path>(StoreOfPipeline(options.store, options.pipeline))
                      : StoreFolder(options.store);
  if (!root.ok()) return Report(root.error());
  StoreOptions open;
  open.create = false;
  open.read_only = true;
  StoreStatus status;
  status.root = fs::absolute(*root, ec);
  status.time = WallNow();
  auto store = Store::Open(*root, open);
  if (store.ok()) {
    ShowNotices(*store);
    auto read = ReadStatus(*store, status.time);
    if (!read.ok()) return Report(read.error());
    status = *std::move(read);
  } else if (!is_file || store.error().code != Code::kNotFound) {
    return Report(store.error());
  }
  AddNextStarts(status);
  if (!options.prometheus.empty()) {
    if (auto written = WritePrometheus(status, options.prometheus); !written.ok())
      return Report(written.error());
  }
  if (auto selected = Select(status, options.pipeline); !selected.ok()) return Report(selected.error());
  if (options.json)
    std::fputs(DumpPretty(ToJson(status)).c_str(), stdout);
  else if (options.prometheus.empty())
    std::fputs(RenderStatus(status, DetectTerminal(STDOUT_FILENO).color).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void AddStatusCommand(CLI::App& app, Action& action) {
  CLI::App* status = app.add_subcommand("status", "How the pipelines of a store are doing");
  auto options = std::make_shared<Options>();
  status->add_option("PIPELINE", options->pipeline, "A pipeline's file or name (default: all in the store)");
  status
      ->add_option("--prometheus", options->prometheus,
                   "Write metrics of all pipelines of the store to this file, which ends in .prom")
      ->type_name("FILE");
  AddStoreOption(*status, options->store);
  status->add_flag("--json", options->json, "JSON on stdout");
  status->footer(
      "Examples:\n"
      "  genflow status\n"
      "  genflow status pipeline.yaml --json\n"
      "  genflow status --prometheus /var/lib/prometheus/node-exporter/genflow.prom\n"
      "\n"
      "Exit codes: 0 the state is known, whatever it is;\n1 the store cannot be read, 2 there is none.");
  status->callback([&action, options] { action = [options] { return ShowStatus(*options); }; });
}

}  // namespace genflow::cli
