// `genflow run` and `genflow plan`.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/ci_reports.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/open_pipeline.h"
#include "cli/pipeline_options.h"
#include "cli/plan_view.h"
#include "cli/progress_file.h"
#include "cli/renderer.h"
#include "cli/table.h"
#include "cli/unattended.h"
#include "engine/engine.h"
#include "engine/process_executor.h"
#include "engine/resources.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

struct Options {
  PipelineOptions pipeline;
  CiOptions ci;
  UnattendedOptions unattended;
  std::vector<std::string> from, until, force;
  bool force_given = false, keep_going = false, dry_run = false, json = false, quiet = false;
  int jobs = 0, cpus = 0;
  std::string grace = "30s";
};

}  // namespace

bool ShowDiagnostics(const LoadResult& loaded, bool json) {
  if (!loaded.diagnostics.empty()) {
    if (json)
      std::fputs(
          (Dump({{"event", "diagnostics"}, {"diagnostics", DiagnosticsToJson(loaded.diagnostics)}}) + "\n")
              .c_str(),
          stdout);
    else
      std::fputs(RenderDiagnostics(loaded.diagnostics, {DetectTerminal(STDERR_FILENO).color}).c_str(),
                 stderr);
  }
  return loaded.pipeline.has_value() && !HasErrors(loaded.diagnostics);
}

namespace {

std::vector<std::string> SplitNames(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const auto& text : texts) {
    for (const auto& piece : SplitStageRefs(text)) {
      if (!Trim(piece).empty()) out.emplace_back(Trim(piece));
    }
  }
  return out;
}

Result<RunOptions> EngineOptions(const Options& options, const std::vector<std::string>& argv) {
  RunOptions out;
  out.from = SplitNames(options.from);
  out.until = SplitNames(options.until);
  out.force = SplitNames(options.force);
  out.force_all = options.force_given && out.force.empty();
  out.keep_going = options.keep_going;
  if (options.jobs > 0) out.jobs = options.jobs;
  const auto grace = ParseDuration(options.grace);
  if (!grace) return InvalidError("--grace " + options.grace + " is not a duration", "write --grace 30s");
  out.grace = *grace;
  out.pools = DetectPools();
  if (options.cpus > 0) out.pools.cpus = options.cpus;
  out.argv = HideUrls(argv);
  return out;
}

int ShowPlan(const Options& options, const fs::path& file, const Catalog& catalog, const fs::path& root,
             const RunOptions& run) {
  auto opened = PlanStore::Open(root);
  if (!opened.ok()) return Report(opened.error());
  Store* const store = &opened->store();
  auto loaded = LoadForUse(options.pipeline, file, catalog, &*store);
  if (!loaded.ok()) return Report(loaded.error());
  // Warnings are no part of the answer.
  if (!ShowDiagnostics(*loaded, options.json && HasErrors(loaded->diagnostics))) return kExitUsage;
  auto plan = PlanPipeline(*loaded->pipeline, *store, run);
  if (!plan.ok()) return Report(plan.error());
  const std::string text =
      options.json ? DumpPretty(PlanToJson(*plan, *loaded->pipeline))
                   : RenderPlan(*plan, *loaded->pipeline, DetectTerminal(STDOUT_FILENO), RoomForTables());
  std::fputs(text.c_str(), stdout);
  return kExitOk;
}

// The run, once it is known what is asked for; `outcome` gets what the reports need.
int Execute(const Options& options, const fs::path& file, const Catalog& catalog, const fs::path& root,
            RunOptions run, UnattendedRun& unattended, const CiEnvironment& ci, RunOutcome& outcome) {
  const auto refuse = [&](const Error& error) {
    outcome.error = error;
    return unattended.Fail(error);
  };
  std::error_code ec;
  if (!fs::exists(root, ec)) {  // a pipeline that cannot run leaves no store behind
    auto loaded = LoadForUse(options.pipeline, file, catalog, nullptr);
    if (!loaded.ok()) return refuse(loaded.error());
    outcome.diagnostics = loaded->diagnostics;
    if (HasErrors(loaded->diagnostics) && !ShowDiagnostics(*loaded, options.json))
      return unattended.Invalid(*loaded);
  }
  auto store = Store::Open(root);
  if (!store.ok()) return refuse(store.error());
  auto loaded = LoadForUse(options.pipeline, file, catalog, &*store);
  if (!loaded.ok()) return refuse(loaded.error());
  outcome.diagnostics = loaded->diagnostics;
  if (!ShowDiagnostics(*loaded, options.json)) return unattended.Invalid(*loaded);

  outcome.pipeline = loaded->pipeline->name;
  auto lock = unattended.Lock(*store, loaded->pipeline->name);
  if (!lock.ok()) return refuse(lock.error());
  if (!*lock) return kExitOk;
  if (unattended.waited()) {  // the files may have changed meanwhile
    loaded = LoadForUse(options.pipeline, file, catalog, &*store);
    if (!loaded.ok()) return refuse(loaded.error());
    outcome.diagnostics = loaded->diagnostics;
    if (!ShowDiagnostics(*loaded, options.json)) return unattended.Invalid(*loaded);
  }
  for (const auto& stage : loaded->pipeline->stages)
    outcome.stage_places[stage.id] = {SourceOf(*loaded->pipeline, stage).name(), stage.position};
  run.lock = &**lock;
  auto unchanged = unattended.Unchanged(*loaded->pipeline, *store, run);
  if (!unchanged.ok()) return refuse(unchanged.error());
  if (*unchanged) return kExitOk;

  SystemClock clock;
  auto executor = ProcessExecutor::Create(clock);
  if (!executor.ok()) return refuse(executor.error());
  const TerminalTraits progress = DetectTerminal(STDERR_FILENO), answer = DetectTerminal(STDOUT_FILENO);
  std::unique_ptr<Observer> view = options.json           ? MakeJsonView(stdout, *loaded->pipeline)
                                   : options.quiet        ? std::make_unique<Observer>()
                                   : progress.interactive ? MakeLiveView(STDERR_FILENO, progress)
                                                          : MakePlainView(stderr);
  view = MakeProgressFile(std::move(view));
  CiObserver observer(*view, outcome);
  auto report = RunPipeline(*loaded->pipeline, *store, run, **executor, clock, observer);
  view.reset();
  if (!report.ok()) return refuse(report.error());
  if (!options.json) {
    if (!options.quiet)
      std::fputs(WithoutCiCommands(RenderReport(*report, answer, RoomForTables()), ci.system).c_str(),
                 stdout);
    std::fflush(stdout);
    std::fputs(WithoutCiCommands(RenderFailures(*report, progress), ci.system).c_str(), stderr);
  }
  const int exit_code = report->exit_code;
  unattended.SetReport(*std::move(report));
  return exit_code;
}

int RunAndRecord(const Options& options, const std::vector<std::string>& argv, const CiEnvironment& ci,
                 RunOutcome& outcome) {
  const auto refuse = [&](const Error& error) {
    outcome.error = error;
    return Report(error);
  };
  auto file = PipelineFile(options.pipeline);
  if (!file.ok()) return refuse(file.error());
  outcome.file = *file;
  auto run = EngineOptions(options, argv);
  if (!run.ok()) return refuse(run.error());
  const Catalog catalog = UsableCatalog();
  const fs::path root = StoreOfPipeline(options.pipeline.store, *file);
  auto notify = CheckUnattended(options.unattended);
  if (!notify.ok()) return refuse(notify.error());
  if (options.dry_run) return ShowPlan(options, *file, catalog, root, *run);
  UnattendedRun unattended(options.unattended, *std::move(notify), *file, root, options.json, options.quiet);
  return unattended.Finish(Execute(options, *file, catalog, root, *std::move(run), unattended, ci, outcome));
}

int Run(Options options, const std::vector<std::string>& argv) {
  // `--force` takes any number of names; in `run --force pipeline.yaml` the last one is the pipeline.
  if (options.pipeline.file.empty() && !options.force.empty()) {
    const std::string last = options.force.back();
    if (last.ends_with(".yaml") || last.ends_with(".yml")) {
      options.pipeline.file = last;
      options.force.pop_back();
    }
  }
  if (const auto safe = CheckReportFiles(options.ci, options.pipeline); !safe.ok())
    return Report(safe.error());
  const CiEnvironment ci = DetectCi();
  RunOutcome outcome;
  SystemClock clock;
  outcome.started = clock.WallNow();
  const double start = clock.Now();
  const int code = RunAndRecord(options, argv, ci, outcome);
  if (options.dry_run) return code;
  outcome.seconds = clock.Now() - start;
  return WriteCiReports(options.ci, ci, outcome, code);
}

void AddRunOptions(CLI::App& command, Options& options) {
  AddPipelineOptions(command, options.pipeline);
  command
      .add_option("--from", options.from,
                  "Only this stage and what depends on it; the rest comes from the cache")
      ->type_name("STAGE")
      ->allow_extra_args(false);
  command.add_option("--until", options.until, "Only this stage and what it depends on")
      ->type_name("STAGE")
      ->allow_extra_args(false);
  command
      .add_option("--force", options.force, "Run these stages even when they are cached; without names, all")
      ->type_name("STAGE")
      ->expected(0, -1);
  AddStoreOption(command, options.pipeline.store);
}

}  // namespace

void AddRunCommand(CLI::App& app, Action& action, const std::vector<std::string>& argv) {
  CLI::App* run = app.add_subcommand("run", "Run a pipeline; what is cached is not run again");
  auto options = std::make_shared<Options>();
  AddRunOptions(*run, *options);
  run->add_flag("-k,--keep-going", options->keep_going,
                "After a failure, go on with what does not depend on it");
  run->add_option("-j,--jobs", options->jobs, "At most this many stages at once")->check(AtLeastOne());
  run->add_option("--cpus", options->cpus, "Size of the CPU pool (default: all CPUs)")->check(AtLeastOne());
  run->add_option("--grace", options->grace, "Time that stages have to save their state when stopped")
      ->type_name("TIME")
      ->capture_default_str();
  run->add_flag("-n,--dry-run", options->dry_run, "Say what would run and why, and run nothing");
  run->add_flag("--json", options->json, "Events as JSON lines on stdout");
  run->add_flag("-q,--quiet", options->quiet, "Only errors");
  AddCiOptions(*run, options->ci);
  AddUnattendedOptions(*run, options->unattended);
  run->footer(
      "Examples:\n"
      "  genflow run pipelines/quickstart.yaml\n"
      "  genflow run -p epochs=3 --from tune\n"
      "  genflow run --force tune --keep-going -j 2\n"
      "\n"
      "Exit codes: 0 done, 1 a stage failed, 2 invalid pipeline, 3 a gate said no,\n"
      "4 another run of this pipeline goes on (0 with --if-locked skip), 75 interrupted\n"
      "and resumable.");
  run->callback([&action, options, run, argv] {
    options->force_given = run->get_option("--force")->count() > 0;
    action = [options, argv] { return Run(*options, argv); };
  });
}

void AddPlanCommand(CLI::App& app, Action& action) {
  CLI::App* plan = app.add_subcommand("plan", "Say what a run would do and why; the same as run --dry-run");
  auto options = std::make_shared<Options>();
  AddRunOptions(*plan, *options);
  plan->add_flag("--json", options->json, "JSON on stdout");
  plan->footer("Example:\n  genflow plan pipeline.yaml -p epochs=3");
  plan->callback([&action, options, plan] {
    options->force_given = plan->get_option("--force")->count() > 0;
    options->dry_run = true;
    action = [options] { return Run(*options, {}); };
  });
}

}  // namespace genflow::cli
