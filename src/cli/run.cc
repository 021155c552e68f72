// `genflow run` and `genflow plan`.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
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
  UnattendedOptions unattended;
  std::vector<std::string> from, until, force;
  bool force_given = false, keep_going = false, dry_run = false, json = false, quiet = false;
  int jobs = 0, cpus = 0;
  std::string grace = "30s";
};

// Shows diagnostics; true when the pipeline can be used.
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

std::vector<std::string> SplitNames(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const auto& text : texts) {
    for (const auto piece : Split(text, ',')) {
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

std::string RenderPlan(const std::vector<PlannedStage>& stages, const Pipeline& pipeline, bool color) {
  Table table({"stage", "action", "why"});
  size_t runs = 0;
  double seconds = 0;
  for (const auto& stage : stages) {
    const bool runs_now =
        stage.action == PlannedStage::Action::kRun || stage.action == PlannedStage::Action::kMaybe;
    runs += runs_now ? 1 : 0;
    if (runs_now) seconds += stage.estimated_seconds;
    const Style style = runs_now                                         ? Style::kYellow
                        : stage.action == PlannedStage::Action::kMissing ? Style::kRed
                                                                         : Style::kDim;
    const std::string first = stage.reasons.empty() ? "" : stage.reasons.front();
    table.Add({stage.stage, Styled(PlannedActionName(stage.action), style, color), first});
    for (size_t i = 1; i < stage.reasons.size(); ++i) table.Add({"", "", stage.reasons[i]});
  }
  std::string out = table.Render("", color) + "\n" + pipeline.name + ": ";
  if (runs == 0) return out + "nothing to do (" + std::to_string(stages.size()) + " stages cached)\n";
  out += std::to_string(runs) + " of " + std::to_string(stages.size()) + " stages would run";
  return out + (seconds > 0 ? ", about " + HumanDuration(seconds) + " of work\n" : "\n");
}

// A store for a plan where there is none yet, removed afterwards.
class TemporaryStore {
 public:
  static Result<TemporaryStore> Create() {
    char path[] = "/tmp/genflow-plan-XXXXXX";
    if (::mkdtemp(path) == nullptr) return ErrnoError(path, errno);
    TemporaryStore out;
    out.folder_ = path;
    return out;
  }
  TemporaryStore(TemporaryStore&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}
  ~TemporaryStore() {
    if (!folder_.empty()) (void)RemoveTree(folder_).ok();
  }
  fs::path root() const { return folder_ / ".genflow"; }

 private:
  TemporaryStore() = default;
  fs::path folder_;
};

int ShowPlan(const Options& options, const fs::path& file, const Catalog& catalog, const fs::path& root,
             const RunOptions& run) {
  std::error_code ec;
  std::optional<TemporaryStore> temporary;
  if (!fs::exists(root, ec)) {
    auto made = TemporaryStore::Create();
    if (!made.ok()) return Report(made.error());
    temporary.emplace(*std::move(made));
  }
  auto store = Store::Open(temporary ? temporary->root() : root);
  if (!store.ok()) return Report(store.error());
  auto loaded = LoadForUse(options.pipeline, file, catalog, &*store);
  if (!loaded.ok()) return Report(loaded.error());
  if (!ShowDiagnostics(*loaded, options.json)) return kExitUsage;
  auto plan = PlanPipeline(*loaded->pipeline, *store, run);
  if (!plan.ok()) return Report(plan.error());
  if (!options.json) {
    std::fputs(RenderPlan(*plan, *loaded->pipeline, DetectTerminal(STDOUT_FILENO).color).c_str(), stdout);
    return kExitOk;
  }
  nlohmann::json stages = nlohmann::json::array();
  for (const auto& stage : *plan) {
    stages.push_back({{"stage", stage.stage},
                      {"uses", stage.uses},
                      {"action", PlannedActionName(stage.action)},
                      {"reasons", stage.reasons},
                      {"key", stage.key},
                      {"estimated_seconds", stage.estimated_seconds}});
  }
  std::fputs(DumpPretty({{"pipeline", loaded->pipeline->name}, {"stages", stages}}).c_str(), stdout);
  return kExitOk;
}

// The run, once it is known what is asked for.
int Execute(const Options& options, const fs::path& file, const Catalog& catalog, const fs::path& root,
            RunOptions run, UnattendedRun& unattended) {
  std::error_code ec;
  if (!fs::exists(root, ec)) {  // a pipeline that cannot run leaves no store behind
    auto loaded = LoadForUse(options.pipeline, file, catalog, nullptr);
    if (!loaded.ok()) return unattended.Fail(loaded.error());
    if (HasErrors(loaded->diagnostics) && !ShowDiagnostics(*loaded, options.json))
      return unattended.Invalid(*loaded);
  }
  auto store = Store::Open(root);
  if (!store.ok()) return unattended.Fail(store.error());
  auto loaded = LoadForUse(options.pipeline, file, catalog, &*store);
  if (!loaded.ok()) return unattended.Fail(loaded.error());
  if (!ShowDiagnostics(*loaded, options.json)) return unattended.Invalid(*loaded);

  auto lock = unattended.Lock(*store, loaded->pipeline->name);
  if (!lock.ok()) return unattended.Fail(lock.error());
  if (!*lock) return kExitOk;
  if (unattended.waited()) {  // the files may have changed meanwhile
    loaded = LoadForUse(options.pipeline, file, catalog, &*store);
    if (!loaded.ok()) return unattended.Fail(loaded.error());
    if (!ShowDiagnostics(*loaded, options.json)) return unattended.Invalid(*loaded);
  }
  run.lock = &**lock;
  auto unchanged = unattended.Unchanged(*loaded->pipeline, *store, run);
  if (!unchanged.ok()) return unattended.Fail(unchanged.error());
  if (*unchanged) return kExitOk;

  SystemClock clock;
  auto executor = ProcessExecutor::Create(clock);
  if (!executor.ok()) return unattended.Fail(executor.error());
  const TerminalTraits progress = DetectTerminal(STDERR_FILENO), answer = DetectTerminal(STDOUT_FILENO);
  std::unique_ptr<Observer> view = options.json           ? MakeJsonView(stdout)
                                   : options.quiet        ? std::make_unique<Observer>()
                                   : progress.interactive ? MakeLiveView(STDERR_FILENO, progress)
                                                          : MakePlainView(stderr);
  view = MakeProgressFile(std::move(view));
  auto report = RunPipeline(*loaded->pipeline, *store, run, **executor, clock, *view);
  view.reset();
  if (!report.ok()) return unattended.Fail(report.error());
  if (!options.json) {
    if (!options.quiet) std::fputs(RenderReport(*report, answer).c_str(), stdout);
    std::fflush(stdout);
    std::fputs(RenderFailures(*report, progress).c_str(), stderr);
  }
  const int exit_code = report->exit_code;
  unattended.SetReport(*std::move(report));
  return exit_code;
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
  auto file = PipelineFile(options.pipeline);
  if (!file.ok()) return Report(file.error());
  auto run = EngineOptions(options, argv);
  if (!run.ok()) return Report(run.error());
  const Catalog catalog = UsableCatalog();
  const fs::path root = StoreOfPipeline(options.pipeline.store, *file);
  auto notify = CheckUnattended(options.unattended);
  if (!notify.ok()) return Report(notify.error());
  if (options.dry_run) return ShowPlan(options, *file, catalog, root, *run);
  UnattendedRun unattended(options.unattended, *std::move(notify), *file, root, options.json, options.quiet);
  return unattended.Finish(Execute(options, *file, catalog, root, *std::move(run), unattended));
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
  AddUnattendedOptions(*run, options->unattended);
  run->footer(
      "Examples:\n"
      "  genflow run pipelines/quickstart.yaml\n"
      "  genflow run -p epochs=3 --from tune\n"
      "  genflow run --force tune --keep-going -j 2\n"
      "\n"
      "Exit codes: 0 done, 1 a stage failed, 2 invalid pipeline, 3 a gate said no,\n"
      "4 another run of this pipeline goes on (0 with --if-locked skip), 75 interrupted and\n"
      "resumable.");
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
