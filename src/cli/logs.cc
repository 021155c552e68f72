// `genflow logs`: the log of a stage.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/files.h"
#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pager.h"
#include "cli/pipeline_options.h"
#include "cli/stage_names.h"
#include "cli/stage_origins.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

constexpr useconds_t kFollowInterval = 200'000;
constexpr int kRunsSearched = 50;
constexpr size_t kRunRefLength = 4;  // of the random part of an id

struct Options {
  std::string store, ref;
  int attempt = 0;
  bool follow = false, json = false, no_pager = false;
};

// What the user asked for, looked up in the store.
struct Asked {
  RunInfo run;
  std::vector<AttemptInfo> attempts;  // of the whole run
  std::string stage;                  // empty: which logs are there?

  bool goes_on() const { return run.status == RunStatus::kRunning; }
  // The last attempt of the stage, or the numbered one; null when there is none.
  const AttemptInfo* Find(int number) const {
    const AttemptInfo* found = nullptr;
    for (const auto& attempt : attempts) {
      if (attempt.stage == stage && (number == 0 || attempt.attempt == number)) found = &attempt;
    }
    return found;
  }
  // The one stage that is meant, by its id.
  void NameStage() {
    if (const auto named = StagesNamed(stage, StageNames()); named.size() == 1) stage = named.front();
  }
  bool HasStage() const {
    const auto names = StageNames();
    return std::find(names.begin(), names.end(), stage) != names.end();
  }
  std::vector<std::string> StageNames() const {
    std::vector<std::string> names = run.stages;
    for (const auto& attempt : attempts) {
      if (std::find(names.begin(), names.end(), attempt.stage) == names.end()) names.push_back(attempt.stage);
    }
    return names;
  }
};

Status Reload(Store& store, Asked* asked) {
  GF_TRY(asked->run, store.GetRun(asked->run.id));
  GF_TRY(asked->attempts, store.ListAttempts(asked->run.id));
  return Ok();
}

// `ref`: "", STAGE (of the latest run), RUN, RUN/ or RUN/STAGE. Stages win over runs.
Result<Asked> Resolve(Store& store, const std::string& ref) {
  Asked asked;
  size_t slash = ref.find('/');
  if (slash != std::string::npos) {  // also in the ids of stages of a file that a pipeline uses
    if (const auto latest = store.ResolveRun("latest"); latest.ok()) {
      asked.run.id = *latest;
      asked.stage = ref;
      GF_CHECK_OK(Reload(store, &asked));
      if (!StagesNamed(ref, asked.StageNames()).empty()) slash = std::string::npos;
    }
  }
  if (slash != std::string::npos) {
    GF_TRY(asked.run.id, store.ResolveRun(ref.substr(0, slash)));
    asked.stage = ref.substr(slash + 1);
  } else {
    GF_TRY(asked.run.id, store.ResolveRun("latest"));
    asked.stage = ref;
  }
  GF_CHECK_OK(Reload(store, &asked));
  asked.NameStage();
  if (slash != std::string::npos || ref.empty()) return asked;
  if (asked.HasStage()) return asked;
  // A short word is more likely a stage's name than the end of a run's id.
  if (ref != "latest" && ref.size() < kRunRefLength) return asked;
  if (const auto run = store.ResolveRun(ref); run.ok()) {
    asked.run.id = *run;
    asked.stage.clear();
    GF_CHECK_OK(Reload(store, &asked));
  }
  return asked;
}

Error NoSuchStage(Store& store, const Asked& asked) {
  const std::string message = "run " + asked.run.id + " has no stage '" + asked.stage + "'";
  if (const auto named = StagesNamed(asked.stage, asked.StageNames()); !named.empty()) {
    return InvalidError(
        "'" + asked.stage + "' is " + std::to_string(named.size()) + " stages of run " + asked.run.id,
        "name one of " + Join(named, ", "));
  }
  RunFilter latest;
  latest.limit = kRunsSearched;
  if (const auto runs = store.ListRuns(latest); runs.ok()) {
    for (const auto& run : *runs) {
      if (std::find(run.stages.begin(), run.stages.end(), asked.stage) != run.stages.end())
        return MakeError(
            Code::kNotFound, message,
            "run " + run.id + " of " + run.pipeline + " has: genflow logs " + run.id + "/" + asked.stage);
    }
  }
  const auto near = NearestName(asked.stage, asked.StageNames());
  return MakeError(Code::kNotFound, message,
                   near ? "did you mean '" + *near + "'?"
                        : "`genflow logs " + asked.run.id + "` lists the logs that there are");
}

// The stage is one of the run's, the attempt is not there.
Error NoSuchAttempt(const Asked& asked, int number) {
  if (const AttemptInfo* last = asked.Find(0)) {
    return MakeError(
        Code::kNotFound,
        "'" + asked.stage + "' has no attempt " + std::to_string(number) + " in run " + asked.run.id,
        "its last attempt is " + std::to_string(last->attempt));
  }
  return MakeError(Code::kNotFound, "'" + asked.stage + "' has not started in run " + asked.run.id,
                   asked.goes_on() ? "`genflow logs -f " + asked.run.id + "/" + asked.stage + "` waits for it"
                                   : "the run ended before: `genflow runs show " + asked.run.id + "`");
}

Error NoLog(const AttemptInfo& attempt) {
  const std::string message = "'" + attempt.stage + "' did not run in " + attempt.run + ", so it has no log";
  if (!attempt.source_run.empty()) {
    return MakeError(Code::kNotFound, message,
                     "its outputs are from run " + attempt.source_run + ": genflow logs " +
                         attempt.source_run + "/" + attempt.stage);
  }
  return MakeError(Code::kNotFound, message, attempt.end.error_message);
}

int List(const Asked& asked, bool json) {
  if (json) {
    nlohmann::json out = nlohmann::json::array();
    const nlohmann::json origins = OriginsOf(asked.run);
    for (const auto& attempt : asked.attempts) {
      if (attempt.log.empty()) continue;
      out.push_back(ToJson(attempt));
      AddOrigin(origins, attempt.stage, &out.back());
    }
    std::fputs(DumpPretty(out).c_str(), stdout);
    return kExitOk;
  }
  // A terminal's lines are short: there, the folder of all of them stands above.
  const bool brief = RoomForTables() > 0;
  std::string folder;
  Table table({"stage", "attempt", "status", "log"}, {Align::kLeft, Align::kRight});
  for (const auto& attempt : asked.attempts) {
    if (!attempt.log.empty()) folder = std::filesystem::path(attempt.log).parent_path().string();
    if (!attempt.log.empty())
      table.Add({attempt.stage, std::to_string(attempt.attempt), AttemptStatusName(attempt.status),
                 brief ? std::filesystem::path(attempt.log).filename().string() : attempt.log});
    else if (!attempt.source_run.empty())
      table.Add({attempt.stage, "-", AttemptStatusName(attempt.status),
                 "genflow logs " + attempt.source_run + "/" + attempt.stage});
  }
  if (table.empty()) {
    return Report(MakeError(Code::kNotFound, "run " + asked.run.id + " has no logs: no stage has run",
                            "`genflow runs show " + asked.run.id + "` says why"));
  }
  std::printf("run %s of %s\n", asked.run.id.c_str(), asked.run.pipeline.c_str());
  if (brief && !folder.empty()) std::printf("logs in %s\n", folder.c_str());
  std::printf("\n");
  table.Fit(RoomForTables(), {"attempt", "status"}, {"stage"});
  table.Print();
  return kExitOk;
}

// Prints the log of the stage until the stage is at its end: the log of its newest attempt, and of the ones
// that begin meanwhile. With an attempt's number, that one alone. The store is opened anew at each look,
// which notices a run whose process was killed.
Status Follow(const Options& options, Asked asked) {
  Fd log;
  int number = options.attempt;
  bool said_waiting = false;
  while (true) {
    if (const AttemptInfo* attempt = asked.Find(number)) {
      if (attempt->log.empty()) return NoLog(*attempt);
      number = attempt->attempt;
      const bool running = attempt->status == AttemptStatus::kRunning && asked.goes_on();
      if (!log.valid()) {
        log = Fd(::open(attempt->log.c_str(), O_RDONLY | O_CLOEXEC));
        if (!log.valid() && (errno != ENOENT || !running)) return ErrnoError(attempt->log, errno);
      }
      if (log.valid()) GF_CHECK_OK(CopyToOutput(log.get()));
      if (!running) {
        if (options.attempt > 0) return Ok();
        const AttemptInfo* next = asked.Find(number + 1);
        if (next != nullptr && !next->log.empty()) {
          ++number;
          log.Reset();
          continue;
        }
        if (attempt->end.retry_at == 0 || !asked.goes_on()) return Ok();
      }
    } else {
      if (!asked.goes_on()) return NoSuchAttempt(asked, number);
      if (!std::exchange(said_waiting, true))
        std::fprintf(stderr, "'%s' has not started yet; waiting for it\n", asked.stage.c_str());
    }
    ::usleep(kFollowInterval);
    GF_TRY(auto store, OpenStore(options.store, true));
    GF_CHECK_OK(Reload(store, &asked));
  }
}

Status Print(const AttemptInfo& attempt, bool no_pager) {
  if (attempt.log.empty()) return NoLog(attempt);
  const Fd log(::open(attempt.log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!log.valid()) return ErrnoError(attempt.log, errno);
  return ShowFile(log.get(), no_pager);
}

int Logs(const Options& options) {
  if (options.follow && options.json) {
    return Report(InvalidError("--follow and --json do not go together",
                               "--json tells where the log is, --follow prints it as it grows"));
  }
  auto store = OpenStore(options.store, true);
  if (!store.ok()) return Report(store.error());
  auto asked = Resolve(*store, options.ref);
  if (!asked.ok()) return Report(asked.error());
  if (asked->stage.empty()) {
    if (!options.follow && options.attempt == 0) return List(*asked, options.json);
    return Report(
        InvalidError("which stage? " + std::string(options.follow ? "--follow" : "--attempt") + " needs one",
                     "one of " + Join(asked->StageNames(), ", ")));
  }
  if (!asked->HasStage()) return Report(NoSuchStage(*store, *asked));
  if (options.follow) {
    const auto followed = Follow(options, *std::move(asked));
    return followed.ok() ? kExitOk : Report(followed.error());
  }
  const AttemptInfo* attempt = asked->Find(options.attempt);
  if (attempt == nullptr) return Report(NoSuchAttempt(*asked, options.attempt));
  if (options.json) {
    std::fputs(DumpPretty(ToJson(*attempt)).c_str(), stdout);
    return kExitOk;
  }
  const auto printed = Print(*attempt, options.no_pager);
  return printed.ok() ? kExitOk : Report(printed.error());
}

}  // namespace

void AddLogsCommand(CLI::App& app, Action& action) {
  CLI::App* logs = app.add_subcommand("logs", "Show the log of a stage, or list the logs");
  auto options = std::make_shared<Options>();
  logs->add_option("RUN/STAGE", options->ref,
                   "The stage; without RUN/ of the latest run. RUN alone, or nothing: lists the logs");
  logs->add_flag("-f,--follow", options->follow,
                 "Go on until the stage ends; wait for it if it has not started");
  logs->add_option("--attempt", options->attempt, "Which attempt (default: the last)")->check(AtLeastOne());
  AddStoreOption(*logs, options->store);
  logs->add_flag("--json", options->json, "What is known of the attempt, with the path of its log, as JSON");
  AddPagerOption(*logs, &options->no_pager);
  logs->footer("Examples:\n  genflow logs\n  genflow logs tune\n  genflow logs -f latest/tune");
  logs->callback([&action, options] { action = [options] { return Logs(*options); }; });
}

}  // namespace genflow::cli
