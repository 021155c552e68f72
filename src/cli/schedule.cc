// `genflow schedule`: runs at set times, by cron or by systemd.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/files.h"
#include "base/strings.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/notification.h"
#include "cli/pipeline_options.h"
#include "cli/schedule_run.h"
#include "cli/schedule_triggers.h"
#include "cli/schedules.h"
#include "cli/table.h"
#include "cli/times.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

constexpr int kPreview = 3;
// Variables that say what a pipeline is and finds; recorded when a schedule is added.
constexpr const char* kRecordedVariables[] = {"PATH", "GENFLOW_PLUGIN_PATH", "GENFLOW_STORE"};

struct Options {
  std::string pipeline, cron, backend, jitter, name, schedule;
  std::vector<std::string> run_options, env;
  bool json = false, replace = false, now = false;
};

std::string Program() { return ExecutablePath().string(); }

// "pages v2.yaml" -> "pages-v2"
std::string NameFromFile(const fs::path& file) {
  std::string name = file.stem().string();
  for (char& c : name) {
    if (!IsScheduleName("x" + std::string(1, c))) c = '-';
  }
  while (!name.empty() && (name[0] == '-' || name[0] == '.')) name.erase(0, 1);
  return name.empty() ? "pipeline" : name.substr(0, 64);
}

Result<Schedule> Describe(const Options& options) {
  Schedule s;
  GF_TRY(const auto cron, CronExpression::Parse(options.cron));
  s.cron = cron.text();
  std::error_code ec;
  if (!fs::is_regular_file(options.pipeline, ec)) {
    return MakeError(Code::kNotFound, options.pipeline + ": there is no such file",
                     "write: genflow schedule add PIPELINE \"0 3 * * *\"");
  }
  s.pipeline = PipelineIdentity(options.pipeline);
  s.name = options.name.empty() ? NameFromFile(options.pipeline) : options.name;
  if (!IsScheduleName(s.name))
    return InvalidError("'" + s.name + "' cannot be a schedule's name", "use letters, digits, -, _ and .");
  if (!options.jitter.empty()) {
    const auto jitter = ParseDuration(options.jitter);
    if (!jitter)
      return InvalidError("--jitter " + options.jitter + " is not a duration", "write --jitter 10m");
    s.jitter = *jitter;
  }
  s.backend = options.backend;
  if (s.backend.empty()) s.backend = HasProgram("crontab") || !HasProgram("systemctl") ? "cron" : "systemd";
  if (s.backend == "cron" && !HasProgram("crontab")) {
    return MakeError(Code::kUnsupported, "there is no `crontab` program here",
                     "install cron, or use --backend systemd");
  }
  s.cwd = fs::current_path(ec).string();
  s.program = Program();
  s.argv = {"run", s.pipeline};
  const bool says_how = std::any_of(options.run_options.begin(), options.run_options.end(),
                                    [](const std::string& word) { return word.starts_with("--if-locked"); });
  if (!says_how) s.argv.insert(s.argv.end(), {"--if-locked", "skip"});
  s.argv.insert(s.argv.end(), options.run_options.begin(), options.run_options.end());
  for (const char* name : kRecordedVariables) {
    if (const char* value = std::getenv(name); value != nullptr) s.env[name] = value;
  }
  for (const auto& text : options.env) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const char* value = std::getenv(name.c_str());
    if (equals == std::string::npos && value == nullptr)
      return InvalidError("--env " + name + ": it is not set here", "write --env " + name + "=VALUE");
    if (name.empty()) return InvalidError("--env " + text + " is not NAME=VALUE", "write --env NAME=VALUE");
    s.env[name] = equals == std::string::npos ? value : text.substr(equals + 1);
  }
  GF_TRY(const auto states, ScheduleStateFolder());
  s.log = (states / (s.name + ".log")).string();
  s.state = (states / (s.name + ".state.json")).string();
  return s;
}

// What the run would do, planned in its place: mistakes come now, and not at night. The exit code of the
// plan.
Result<int> Rehearse(const Schedule& schedule) {
  GF_TRY(const Fd nowhere, TextAsFile(""));
  ProcessOptions options;
  options.argv = schedule.argv;
  options.argv.insert(options.argv.begin(), schedule.program);
  options.argv.emplace_back("--dry-run");
  options.env = EnvironmentWith(schedule.env);
  options.cwd = schedule.cwd;
  options.fds = {{nowhere.get(), 1}, {STDERR_FILENO, 2}};
  GF_TRY(auto process, Process::Start(options));
  const ExitStatus status = process.Wait();
  return status.signal != 0 ? 128 + status.signal : status.code;
}

std::vector<double> NextStarts(const Schedule& schedule, std::time_t after, int count) {
  std::vector<double> out;
  const auto cron = CronExpression::Parse(schedule.cron);
  for (int i = 0; cron.ok() && i < count; ++i) {
    const auto next = cron->Next(after);
    if (!next) break;
    out.push_back(static_cast<double>(*next));
    after = *next;
  }
  return out;
}

// For a machine; web hooks are hidden.
nlohmann::json Describe(const Schedule& schedule, int starts) {
  nlohmann::json out = ToJson(schedule);
  out["argv"] = HideUrls(schedule.argv);
  out["next"] = NextStarts(schedule, std::time(nullptr), starts);
  const ScheduleState state = ReadState(schedule);
  out["last"] = nullptr;
  if (state.started > 0) {
    out["last"] = {{"started", state.started},
                   {"finished", state.finished},
                   {"exit_code", state.finished > 0 ? nlohmann::json(state.exit_code) : nullptr}};
  }
  return out;
}

int Add(const Options& options) {
  auto schedule = Describe(options);
  if (!schedule.ok()) return Report(schedule.error());
  auto all = ListSchedules();
  if (!all.ok()) return Report(all.error());
  const auto old =
      std::find_if(all->begin(), all->end(), [&](const Schedule& s) { return s.name == schedule->name; });
  if (old != all->end() && !options.replace) {
    return Report(InvalidError("there is a schedule '" + schedule->name + "' already, of " + old->pipeline,
                               "give another --name, or --replace it"));
  }
  auto planned = Rehearse(*schedule);
  if (!planned.ok()) return Report(planned.error());
  if (*planned != kExitOk) {
    std::fprintf(stderr, "error: nothing was scheduled: the run would not start\n");
    return *planned;
  }
  if (old != all->end() && old->backend != schedule->backend) {
    if (auto removed = RemoveTrigger(old->name, old->backend); !removed.ok()) return Report(removed.error());
  }
  ScheduleState state = ReadState(*schedule);
  state.slot = static_cast<double>(std::time(nullptr));
  if (auto written = WriteState(*schedule, state); !written.ok()) return Report(written.error());
  auto definition = WriteSchedule(*schedule);
  if (!definition.ok()) return Report(definition.error());
  auto notices = InstallTrigger(*schedule, *definition);
  if (!notices.ok()) {
    if (old == all->end()) (void)RemoveTree(*definition).ok();
    return Report(notices.error());
  }
  for (const auto& notice : *notices) std::fprintf(stderr, "notice: %s\n", notice.c_str());
  if (options.json) {
    std::fputs(DumpPretty(Describe(*schedule, kPreview)).c_str(), stdout);
    return kExitOk;
  }
  std::printf("%s: %s at \"%s\", by %s\n", schedule->name.c_str(), schedule->pipeline.c_str(),
              schedule->cron.c_str(), schedule->backend.c_str());
  for (const double next : NextStarts(*schedule, std::time(nullptr), kPreview)) {
    std::printf(
        "  %s%s\n", LocalTime(next).c_str(),
        schedule->jitter > 0 ? (", or up to " + HumanDuration(schedule->jitter) + " later").c_str() : "");
  }
  std::printf("log: %s\n", schedule->log.c_str());
  return kExitOk;
}

int List(const Options& options) {
  auto all = ListSchedules();
  if (!all.ok()) return Report(all.error());
  if (options.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& schedule : *all) out.push_back(Describe(schedule, 1));
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  Table table({"name", "when", "by", "next", "last", "pipeline"});
  for (const auto& schedule : *all) {
    const auto next = NextStarts(schedule, std::time(nullptr), 1);
    const ScheduleState state = ReadState(schedule);
    const std::string last =
        state.started <= 0    ? "-"
        : state.finished <= 0 ? "since " + LocalTime(state.started)
                              : LocalTime(state.started) + ", exit code " + std::to_string(state.exit_code);
    table.Add({schedule.name, schedule.cron, schedule.backend, next.empty() ? "-" : LocalTime(next[0]), last,
               schedule.pipeline});
  }
  table.Print("no schedules");
  return kExitOk;
}

Result<Schedule> Find(const std::string& name) {
  GF_TRY(auto all, ListSchedules());
  std::vector<std::string> names;
  for (auto& schedule : all) {
    if (schedule.name == name) return std::move(schedule);
    names.push_back(schedule.name);
  }
  const auto near = NearestName(name, names);
  return MakeError(Code::kNotFound, "there is no schedule '" + name + "'",
                   near            ? "did you mean '" + *near + "'?"
                   : names.empty() ? "`genflow schedule add` makes one"
                                   : "there are " + Join(names, ", "));
}

int Remove(const Options& options) {
  auto schedule = Find(options.schedule);
  if (!schedule.ok()) return Report(schedule.error());
  auto notices = RemoveTrigger(schedule->name, schedule->backend);
  if (!notices.ok()) return Report(notices.error());
  for (const auto& notice : *notices) std::fprintf(stderr, "notice: %s\n", notice.c_str());
  auto folder = ScheduleFolder();
  if (!folder.ok()) return Report(folder.error());
  for (const auto& file :
       {(*folder / (schedule->name + ".json")).string(), schedule->state, schedule->state + ".lock"}) {
    if (auto removed = RemoveTree(file); !removed.ok()) return Report(removed.error());
  }
  if (options.json)
    std::fputs(DumpPretty({{"removed", schedule->name}, {"log", schedule->log}}).c_str(), stdout);
  else
    std::printf("removed %s; its log stays: %s\n", schedule->name.c_str(), schedule->log.c_str());
  return kExitOk;
}

int RunNow(const Options& options) {
  const bool file = options.schedule.find('/') != std::string::npos;
  auto schedule = file ? ReadSchedule(options.schedule) : Find(options.schedule);
  if (!schedule.ok()) return Report(schedule.error());
  auto code = RunSchedule(*schedule, options.now);
  if (!code.ok()) return Report(code.error());
  if (!*code && ::isatty(STDERR_FILENO) != 0)
    std::fprintf(stderr, "notice: nothing is due; --now starts it all the same\n");
  return code->value_or(kExitOk);
}

CLI::Validator Backend() {
  return CLI::Validator(
      [](const std::string& text) {
        return text == "cron" || text == "systemd" ? std::string() : "'" + text + "' is not cron or systemd";
      },
      "");
}

}  // namespace

void AddScheduleCommand(CLI::App& app, Action& action) {
  CLI::App* schedule = app.add_subcommand("schedule", "Runs at set times, by cron or systemd");
  schedule->require_subcommand(1);
  auto options = std::make_shared<Options>();

  CLI::App* add = schedule->add_subcommand("add", "Run a pipeline at set times");
  add->add_option("PIPELINE", options->pipeline, "The pipeline file")->required();
  add->add_option("WHEN", options->cron,
                  "Five fields as in crontab(5): minute hour day-of-month month day-of-week; or @daily, ...")
      ->required();
  add->add_option("RUN_OPTIONS", options->run_options, "Options of `genflow run`, after --");
  add->add_option("--backend", options->backend, "Who starts it: cron or systemd (default: what is here)")
      ->type_name("NAME")
      ->check(Backend());
  add->add_option("--jitter", options->jitter, "Start up to this time later, by chance")->type_name("TIME");
  add->add_option("--name", options->name, "The schedule's name (default: that of the file)");
  add->add_option("--env", options->env,
                  "Set a variable for the run; without a value, to what it is now; may be repeated")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  add->add_flag("--replace", options->replace, "Take the place of the schedule of the same name");
  add->add_flag("--json", options->json, "JSON on stdout");
  add->footer(
      "Examples:\n"
      "  genflow schedule add pipeline.yaml \"0 3 * * *\"\n"
      "  genflow schedule add pipeline.yaml @hourly --jitter 10m -- --only-if-changed\n"
      "  genflow schedule add pipeline.yaml \"0 3 * * mon-fri\" -- --notify @hooks");
  add->callback([&action, options] { action = [options] { return Add(*options); }; });

  CLI::App* list = schedule->add_subcommand("ls", "The schedules, with their next starts");
  list->add_flag("--json", options->json, "JSON on stdout");
  list->callback([&action, options] { action = [options] { return List(*options); }; });

  CLI::App* remove = schedule->add_subcommand("rm", "Remove a schedule; a run that goes on is not stopped");
  remove->add_option("NAME", options->schedule, "The schedule")->required();
  remove->add_flag("--json", options->json, "JSON on stdout");
  remove->callback([&action, options] { action = [options] { return Remove(*options); }; });

  CLI::App* run = schedule->add_subcommand("run", "Start a schedule's run, as cron and systemd do");
  run->add_option("NAME", options->schedule, "The schedule, or its file")->required();
  run->add_flag("--now", options->now,
                "Start at once; otherwise nothing happens when the last due time has been answered");
  run->footer("Example:\n  genflow schedule run nightly --now\n\nExit codes: those of `genflow run`.");
  run->callback([&action, options] { action = [options] { return RunNow(*options); }; });
}

}  // namespace genflow::cli
