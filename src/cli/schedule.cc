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
#include "cli/schedule_state.h"
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

// The fields came as words of their own: the shell was not told that they are one.
Error AsOneWord(Error error, const Options& options) {
  const auto& rest = options.run_options;
  if (rest.empty() || rest[0].starts_with('-') || options.cron.find(' ') != std::string::npos) return error;
  std::vector<std::string> fields = {options.cron};
  fields.insert(fields.end(), rest.begin(), rest.begin() + std::min<std::ptrdiff_t>(4, std::ssize(rest)));
  const std::string whole = Join(fields, " ");
  error.hint = "put the five fields in quotes: \"" +
               (CronExpression::Parse(whole).ok() ? whole : std::string("0 3 * * *")) + "\"";
  return error;
}

Result<Schedule> Describe(const Options& options) {
  Schedule s;
  auto cron = CronExpression::Parse(options.cron);
  if (!cron.ok()) return AsOneWord(cron.error(), options);
  s.cron = cron->text();
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
                   {"running", state.finished <= 0 && IsRunning(schedule)},
                   {"exit_code", state.finished > 0 ? nlohmann::json(state.exit_code) : nullptr}};
  }
  return out;
}

// What starts the schedule of that name, but for the backend `keep` (empty: none). Returns notices; nothing
// where there was no trigger.
Result<std::optional<std::vector<std::string>>> RemoveTriggers(const std::string& name,
                                                               const std::string& keep) {
  std::optional<std::vector<std::string>> out;
  GF_TRY(const auto backends, FindTriggers(name));
  for (const auto& backend : backends) {
    if (backend == keep) continue;
    GF_TRY(const auto notices, RemoveTrigger(name, backend));
    if (!out) out.emplace();
    out->insert(out->end(), notices.begin(), notices.end());
  }
  return out;
}

int Add(const Options& options) {
  auto schedule = Describe(options);
  if (!schedule.ok()) return Report(schedule.error());
  auto file = ScheduleFile(schedule->name);
  if (!file.ok()) return Report(file.error());
  std::error_code ec;
  const bool is_new = !fs::exists(*file, ec);
  const auto old = ReadSchedule(*file);
  if (!is_new && !options.replace) {
    return Report(InvalidError("there is a schedule '" + schedule->name + "' already, " +
                                   (old.ok() ? "of " + old->pipeline : "which cannot be read"),
                               "give another --name, or --replace it"));
  }
  auto planned = Rehearse(*schedule);
  if (!planned.ok()) return Report(planned.error());
  if (*planned != kExitOk) {
    std::fprintf(stderr, "error: nothing was scheduled: the run would not start\n");
    return *planned;
  }
  if (old.ok() && old->backend != schedule->backend) {
    if (auto removed = RemoveTrigger(old->name, old->backend); !removed.ok()) return Report(removed.error());
  } else if (!is_new && !old.ok()) {
    if (auto removed = RemoveTriggers(schedule->name, schedule->backend); !removed.ok())
      return Report(removed.error());
  }
  auto written = ChangeState(*schedule, [](ScheduleState* state) -> Result<bool> {
    state->slot = static_cast<double>(std::time(nullptr));
    state->repeated = true;
    return true;
  });
  if (!written.ok()) return Report(written.error());
  auto definition = WriteSchedule(*schedule);
  if (!definition.ok()) return Report(definition.error());
  auto notices = InstallTrigger(*schedule, *definition);
  if (!notices.ok()) {
    if (is_new) (void)RemoveTree(*definition).ok();
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
    for (const auto& schedule : all->schedules) out.push_back(Describe(schedule, 1));
    for (const auto& [name, error] : all->broken) out.push_back({{"name", name}, {"error", ToJson(error)}});
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  Table table({"name", "when", "by", "next", "last", "pipeline"});
  for (const auto& schedule : all->schedules) {
    const auto next = NextStarts(schedule, std::time(nullptr), 1);
    const ScheduleState state = ReadState(schedule);
    const std::string last =
        state.started <= 0    ? "-"
        : state.finished <= 0 ? (IsRunning(schedule) ? "since " + LocalTime(state.started)
                                                     : LocalTime(state.started) + ", interrupted")
                              : LocalTime(state.started) + ", exit code " + std::to_string(state.exit_code);
    table.Add({schedule.name, schedule.cron, schedule.backend, next.empty() ? "-" : LocalTime(next[0]), last,
               schedule.pipeline});
  }
  for (const auto& broken : all->broken) table.Add({broken.name, "-", "-", "-", "-", "cannot be read"});
  table.Fit(RoomForTables(), {"by", "pipeline", "next"}, {"name", "last"});
  table.Print("no schedules");
  for (const auto& broken : all->broken)
    std::fprintf(stderr, "warning: %s\n", broken.error.ToString().c_str());
  return kExitOk;
}

Result<Schedule> Find(const std::string& name) {
  GF_TRY(const auto file, ScheduleFile(name));
  std::error_code ec;
  if (IsScheduleName(name) && fs::exists(file, ec)) return ReadSchedule(file);
  GF_TRY(const auto all, ListSchedules());
  std::vector<std::string> names;
  for (const auto& schedule : all.schedules) names.push_back(schedule.name);
  for (const auto& broken : all.broken) names.push_back(broken.name);
  const auto near = NearestName(name, names);
  return MakeError(Code::kNotFound, "there is no schedule '" + name + "'",
                   near            ? "did you mean '" + *near + "'?"
                   : names.empty() ? "`genflow schedule add` makes one"
                                   : "there are " + Join(names, ", "));
}

// Also one whose file cannot be read or is gone: what starts it goes with it.
int Remove(const Options& options) {
  const std::string& name = options.schedule;
  auto schedule = Find(name);
  const bool known = schedule.ok() || schedule.error().code != Code::kNotFound;
  std::optional<std::vector<std::string>> notices;
  if (schedule.ok()) {
    auto removed = RemoveTrigger(name, schedule->backend);
    if (!removed.ok()) return Report(removed.error());
    notices = *std::move(removed);
  } else {
    if (!IsScheduleName(name)) return Report(schedule.error());
    auto removed = RemoveTriggers(name, "");
    if (!known && (!removed.ok() || !removed->has_value())) return Report(schedule.error());
    if (!removed.ok()) return Report(removed.error());
    notices = *std::move(removed);
  }
  for (const auto& notice : notices.value_or(std::vector<std::string>()))
    std::fprintf(stderr, "notice: %s\n", notice.c_str());
  auto file = ScheduleFile(name);
  auto states = ScheduleStateFolder();
  if (!file.ok() || !states.ok()) return Report(file.ok() ? states.error() : file.error());
  const std::string state = schedule.ok() ? schedule->state : (*states / (name + ".state.json")).string();
  const std::string log = schedule.ok() ? schedule->log : (*states / (name + ".log")).string();
  auto files = StateFiles(state);
  files.insert(files.begin(), *file);
  for (const auto& path : files) {
    if (auto removed = RemoveTree(path); !removed.ok()) return Report(removed.error());
  }
  if (options.json)
    std::fputs(DumpPretty({{"removed", name}, {"log", log}}).c_str(), stdout);
  else
    std::printf("removed %s; its log stays: %s\n", name.c_str(), log.c_str());
  return kExitOk;
}

// For who looks on; cron would send it by mail.
void Tell(const Schedule& schedule, std::optional<int> code) {
  if (::isatty(STDERR_FILENO) == 0) return;
  if (code) {
    const ScheduleState state = ReadState(schedule);
    std::fprintf(stderr, "%s: exit code %d after %s; log: %s\n", schedule.name.c_str(), *code,
                 HumanDuration(state.finished - state.started).c_str(), schedule.log.c_str());
    return;
  }
  const auto next = NextStarts(schedule, std::time(nullptr), 1);
  std::fprintf(stderr, "notice: nothing is due%s; --now starts it all the same\n",
               next.empty() ? "" : (" before " + LocalTime(next[0])).c_str());
}

int RunNow(const Options& options) {
  const bool file = options.schedule.find('/') != std::string::npos;
  auto schedule = file ? ReadSchedule(options.schedule) : Find(options.schedule);
  if (!schedule.ok()) return Report(schedule.error());
  auto code = RunSchedule(*schedule, options.now);
  if (!code.ok()) return Report(code.error());
  if (options.json) {
    std::fputs(DumpPretty({{"schedule", schedule->name},
                           {"started", code->has_value()},
                           {"exit_code", *code ? nlohmann::json(**code) : nullptr},
                           {"log", schedule->log}})
                   .c_str(),
               stdout);
  } else {
    Tell(*schedule, *code);
  }
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
      ->type_name("BACKEND")
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
  run->add_flag("--json", options->json, "JSON on stdout");
  run->footer("Example:\n  genflow schedule run nightly --now\n\nExit codes: those of `genflow run`.");
  run->callback([&action, options] { action = [options] { return RunNow(*options); }; });
}

}  // namespace genflow::cli
