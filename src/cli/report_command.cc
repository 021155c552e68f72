// `genflow report`: a run as one HTML file.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>

#include "base/files.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/html_report.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/run_metrics.h"

namespace genflow::cli {

namespace {

constexpr size_t kLogLines = 100;

struct Options {
  std::string store, run = "latest", output;
  bool json = false;
};

// What readers of gates and logs of a run that is going on take.
StageResult AsResult(const AttemptInfo& attempt) {
  StageResult out;
  out.stage = attempt.stage;
  out.uses = attempt.uses;
  out.log = attempt.log;
  out.outputs = attempt.outputs;
  return out;
}

Result<HtmlReport> Collect(Store& store, const std::string& ref) {
  HtmlReport out;
  GF_TRY(const std::string id, store.ResolveRun(ref));
  GF_TRY(out.run, store.GetRun(id));
  out.now = static_cast<double>(std::time(nullptr));
  GF_TRY(const auto attempts, store.ListAttempts(id));
  std::map<std::string, size_t> places;
  for (const auto& attempt : attempts) {
    const auto [at, is_new] = places.emplace(attempt.stage, out.stages.size());
    if (is_new) out.stages.emplace_back();
    HtmlStage& stage = out.stages[at->second];
    stage.attempts.push_back(attempt);
    stage.last = attempt;
  }
  for (auto& stage : out.stages) {
    GF_TRY(stage.metrics, MetricsOf(store, stage.last));
    const StageResult result = AsResult(stage.last);
    stage.gate = ReadGateReport(result);
    if (stage.last.status == AttemptStatus::kFailed) stage.log_tail = LastLogLines(result, kLogLines);
  }
  return out;
}

int WriteReport(const Options& options) {
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  const auto report = Collect(*store, options.run);
  if (!report.ok()) return Report(report.error());
  const std::string html = RenderHtmlReport(*report);
  if (options.output == "-") {
    std::fputs(html.c_str(), stdout);
    return kExitOk;
  }
  const std::string file = options.output.empty() ? "genflow-" + report->run.id + ".html" : options.output;
  const auto folder = std::filesystem::path(file).parent_path();
  if (!folder.empty()) {
    if (auto made = MakeDirectories(folder); !made.ok()) return Report(made.error());
  }
  if (auto written = WriteFileAtomic(file, html); !written.ok()) return Report(written.error());
  if (options.json)
    std::fputs(DumpPretty({{"run", report->run.id}, {"file", file}, {"bytes", html.size()}}).c_str(), stdout);
  else
    std::printf("%s\n", file.c_str());
  return kExitOk;
}

}  // namespace

void AddReportCommand(CLI::App& app, Action& action) {
  CLI::App* report = app.add_subcommand("report", "Write a run as one HTML file, with charts of its metrics");
  auto options = std::make_shared<Options>();
  report->add_option("RUN", options->run, "An id, its beginning or its end, or 'latest'")
      ->default_str("latest");
  report
      ->add_option("-o,--output", options->output, "The file (default: genflow-RUN.html); -: standard output")
      ->type_name("FILE");
  AddStoreOption(*report, options->store);
  report->add_flag("--json", options->json, "Say on stdout, as JSON, what was written");
  report->footer("Examples:\n  genflow report\n  genflow report 20261124-1607-ab12 -o public/run.html");
  report->callback([&action, options] { action = [options] { return WriteReport(*options); }; });
}

}  // namespace genflow::cli
