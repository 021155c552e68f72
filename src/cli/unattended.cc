#include "cli/unattended.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/strings.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/pipeline_options.h"
#include "cli/pipeline_status.h"
#include "cli/schedules.h"
#include "cli/start_note.h"

namespace genflow::cli {

namespace fs = std::filesystem;

namespace {

constexpr char kGroup[] = "Unattended";

// How often a lock that is held is tried again, in seconds: at first, and at most.
constexpr double kFirstPoll = 0.05, kLastPoll = 2;

double Monotonic() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double WallNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<Store> OpenToRead(const fs::path& root) {
  StoreOptions open;
  open.create = false;
  open.read_only = true;
  return Store::Open(root, open);
}

void Warn(const Error& error) { std::fprintf(stderr, "warning: %s\n", error.ToString().c_str()); }

}  // namespace

void AddUnattendedOptions(CLI::App& run, UnattendedOptions& options) {
  run.add_option("--if-locked", options.if_locked, "While another run of it goes on: fail, skip or wait")
      ->type_name("WHAT")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return text == "fail" || text == "skip" || text == "wait"
                       ? std::string()
                       : "'" + text + "' is not fail, skip or wait";
          },
          ""))
      ->capture_default_str()
      ->group(kGroup);
  run.add_option("--wait-timeout", options.wait_timeout, "Give up waiting after this time, with exit code 4")
      ->type_name("TIME")
      ->group(kGroup);
  run.add_flag("--only-if-changed", options.only_if_changed, "Record no run where every stage is cached")
      ->group(kGroup);
  run.add_option("--notify", options.notify, "Web hook to tell of the end: URL, slack:URL, @FILE")
      ->type_name("URL")
      ->allow_extra_args(false)
      ->group(kGroup);
  run.add_option("--notify-on", options.notify_on, "Of what: also success and interrupted")
      ->type_name("EVENTS")
      ->capture_default_str()
      ->group(kGroup);
  run.add_option("--keep-runs", options.keep_runs, "Then gc all but the last N runs of each pipeline")
      ->check(AtLeastOne())
      ->group(kGroup);
  run.add_option("--keep-days", options.keep_days, "Then gc runs that are older than N days")
      ->check(AtLeastOne())
      ->group(kGroup);
  run.add_option("--prometheus", options.prometheus, "Then write metrics to this file, which ends in .prom")
      ->type_name("FILE")
      ->group(kGroup);
}

Result<NotifyPlan> CheckUnattended(const UnattendedOptions& options) {
  if (!options.wait_timeout.empty()) {
    if (!ParseDuration(options.wait_timeout)) {
      return InvalidError("--wait-timeout " + options.wait_timeout + " is not a duration",
                          "write --wait-timeout 30m");
    }
    if (options.if_locked != "wait")
      return InvalidError("--wait-timeout needs --if-locked wait", "add --if-locked wait");
  }
  GF_CHECK_OK(CheckPrometheusName(options.prometheus));
  auto plan = ReadNotifyPlan(options.notify, std::getenv("GENFLOW_NOTIFY"), options.notify_on);
  ::unsetenv("GENFLOW_NOTIFY");
  return plan;
}

UnattendedRun::UnattendedRun(const UnattendedOptions& options, NotifyPlan notify, const fs::path& file,
                             fs::path store_root, bool json, bool quiet)
    : options_(options),
      notify_(std::move(notify)),
      file_(PipelineIdentity(file)),
      root_(std::move(store_root)),
      json_(json),
      quiet_(quiet) {}

Result<std::optional<FileLock>> UnattendedRun::Lock(Store& store, const std::string& pipeline) {
  pipeline_ = pipeline;
  const std::optional<double> timeout = ParseDuration(options_.wait_timeout);
  const double start = Monotonic();
  for (double pause = kFirstPoll;; pause = std::min(2 * pause, kLastPoll)) {
    auto lock = store.LockPipeline(file_);
    if (lock.ok()) return std::optional<FileLock>(*std::move(lock));
    Error busy = lock.error();
    if (busy.code != Code::kBusy || options_.if_locked == "fail") return busy;
    if (options_.if_locked == "skip") {
      Note("locked", busy.message);
      Say("locked", "skipped: " + busy.message);
      return std::optional<FileLock>();
    }
    const double left = timeout ? start + *timeout - Monotonic() : pause;
    if (left <= 0) {
      busy.message += "; gave up after " + HumanDuration(*timeout);
      return busy;
    }
    if (!waited_ && !quiet_) std::fprintf(stderr, "waiting: %s\n", busy.message.c_str());
    waited_ = true;
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(pause, left)));
  }
}

Result<bool> UnattendedRun::Unchanged(const Pipeline& pipeline, Store& store, const RunOptions& options) {
  pipeline_ = pipeline.name;  // which may have been read anew
  if (!options_.only_if_changed) return false;
  // After a failure there is something to record: that it works again.
  GF_TRY(const auto status, ReadStatus(store, WallNow(), file_));
  if (status.pipelines.empty() || status.pipelines[0].consecutive_failures > 0) return false;
  if (!status.pipelines[0].last || status.pipelines[0].last->status != RunStatus::kOk) return false;
  GF_TRY(const auto plan, PlanPipeline(pipeline, store, options));
  using Action = PlannedStage::Action;
  size_t cached = 0;
  for (const auto& stage : plan) {
    if (stage.action != Action::kCached && stage.action != Action::kSkip) return false;
    cached += stage.action == Action::kCached ? 1 : 0;
  }
  const std::string what = "nothing changed (" + Counted(cached, "stage") + " cached)";
  Note("unchanged", what);
  Say("unchanged", pipeline.name + ": " + what + "; no run recorded");
  return true;
}

int UnattendedRun::Fail(const Error& error) {
  Note(error.code == Code::kBusy ? "locked" : "error", error.message);
  return Report(error);
}

int UnattendedRun::Invalid(const LoadResult& loaded) {
  if (loaded.pipeline) pipeline_ = loaded.pipeline->name;
  for (const auto& diagnostic : loaded.diagnostics) {
    if (diagnostic.severity != Severity::kError) continue;
    const std::string place =
        diagnostic.file.empty() ? "" : diagnostic.file + ":" + std::to_string(diagnostic.line) + ": ";
    Note("error", place + diagnostic.message);
    break;
  }
  return kExitUsage;
}

void UnattendedRun::Say(const std::string& event, const std::string& text) const {
  if (json_) {
    nlohmann::json line = {
        {"event", "not-started"}, {"reason", event}, {"file", file_}, {"message", message_}};
    if (!pipeline_.empty()) line["pipeline"] = pipeline_;
    std::printf("%s\n", Dump(line).c_str());
  } else if (!quiet_) {
    std::printf("%s\n", text.c_str());
  }
  std::fflush(stdout);
}

void UnattendedRun::Notify(int exit_code) {
  const bool not_started = exit_code == 0 && !report_;  // unchanged, or skipped
  if (notify_.targets.empty() || not_started) return;
  Notification n;
  n.pipeline = pipeline_.empty() ? fs::path(file_).stem().string() : pipeline_;
  bool recovered = false;
  if (auto store = OpenToRead(root_); store.ok()) {
    if (report_ && exit_code == 0) {
      const auto before = FailedBefore(*store, file_, report_->run);
      if (!before.ok()) Warn(before.error());
      recovered = before.ok() && *before;
    }
    // A file that cannot be read has had a name before.
    if (const auto status = ReadStatus(*store, WallNow(), file_); status.ok() && pipeline_.empty()) {
      for (const auto& p : status->pipelines) n.pipeline = p.pipeline;
    }
  }
  n.event = EventOf(exit_code, recovered);
  if (notify_.events.count(n.event) == 0) return;
  n.file = file_;
  n.host = ThisProcess({}).host;
  n.exit_code = exit_code;
  n.time = WallNow();
  n.message = message_;
  n.report = std::move(report_);
  for (const auto& problem : Send(notify_, n)) std::fprintf(stderr, "warning: %s\n", problem.c_str());
}

Status UnattendedRun::CollectGarbage() {
  std::error_code ec;
  if ((options_.keep_runs <= 0 && options_.keep_days <= 0) || !fs::is_directory(root_, ec)) return Ok();
  StoreOptions open;
  open.create = false;
  GF_TRY(Store store, Store::Open(root_, open));
  GcOptions gc;
  gc.keep_last = options_.keep_runs;
  gc.keep_age = 86400.0 * options_.keep_days;
  GF_TRY(const auto report, store.Gc(gc));
  if (!quiet_ && !report.runs.empty()) {
    std::fprintf(stderr, "gc: removed %s, freed %s\n", Counted(report.runs.size(), "run").c_str(),
                 HumanBytes(report.TotalBytes()).c_str());
  }
  return Ok();
}

Status UnattendedRun::LeaveTraces() {
  if (options_.prometheus.empty()) return Ok();
  GF_TRY(Store store, OpenToRead(root_));
  GF_TRY(auto status, ReadStatus(store, WallNow()));
  AddNextStarts(status);
  return WritePrometheus(status, options_.prometheus);
}

int UnattendedRun::Finish(int exit_code) {
  if (!outcome_.empty()) {
    const auto noted = WriteStartNote(root_, {file_, pipeline_, WallNow(), outcome_, exit_code, message_});
    // A store that cannot be written has been complained of already.
    if (!noted.ok() && outcome_ != "error") Warn(noted.error());
  }
  Notify(exit_code);
  if (auto collected = CollectGarbage(); !collected.ok()) Warn(collected.error());
  if (auto left = LeaveTraces(); !left.ok()) {
    if (exit_code != kExitOk) return Warn(left.error()), exit_code;
    (void)Report(left.error());
    return kExitFailed;
  }
  return exit_code;
}

}  // namespace genflow::cli
