#include "cli/pipeline_status.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "cli/facts.h"
#include "cli/json_output.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/times.h"

namespace genflow::cli {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

bool IsFailure(RunStatus status) { return status == RunStatus::kFailed || status == RunStatus::kGated; }

// Why a run failed: its first stage that says so.
Result<std::string> FailureOf(Store& store, const std::string& run) {
  GF_TRY(const auto attempts, store.ListAttempts(run));
  std::string out;
  for (const auto& attempt : attempts) {
    const bool said_no = attempt.status == AttemptStatus::kFailed || attempt.status == AttemptStatus::kGated;
    if (said_no && attempt.end.retry_at <= 0) return attempt.stage + ": " + attempt.end.error_message;
  }
  return out;
}

Status ReadRunning(Store& store, PipelineStatus& status) {
  const auto progress = ReadProgressFile(store.root(), status.running->id);
  GF_TRY(const auto attempts, store.ListAttempts(status.running->id));
  const RunInfo& run = *status.running;
  status.stages_done =
      static_cast<size_t>(run.stages_run + run.stages_cached + run.stages_failed + run.stages_skipped);
  for (const auto& attempt : attempts) {
    if (attempt.status != AttemptStatus::kRunning) continue;
    RunningStage stage{attempt.stage, attempt.attempt, attempt.started, std::nullopt};
    if (progress) {
      if (const auto it = progress->running.find(attempt.stage); it != progress->running.end())
        stage.progress = it->second;
    }
    status.stages.push_back(std::move(stage));
  }
  return Ok();
}

void ReadDisk(StoreStatus& status) {
  struct statvfs disk {};
  if (::statvfs(status.root.c_str(), &disk) != 0) return;
  status.free_bytes = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  status.disk_bytes = static_cast<uint64_t>(disk.f_blocks) * disk.f_frsize;
}

// "3 days ago", "2h 05m ago".
std::string Ago(double seconds) {
  constexpr double kDay = 86400;
  if (seconds < 2 * kDay) return HumanDuration(std::max(0.0, seconds)) + " ago";
  return std::to_string(static_cast<int64_t>(seconds / kDay)) + " days ago";
}

Style StyleOf(RunStatus status) {
  return status == RunStatus::kOk ? Style::kGreen : IsFailure(status) ? Style::kRed : Style::kYellow;
}

std::string DescribeStage(const RunningStage& stage, double now) {
  std::string out = stage.stage + ", for " + HumanDuration(std::max(0.0, now - stage.started));
  if (stage.attempt > 1) out += ", attempt " + std::to_string(stage.attempt);
  if (!stage.progress) return out;
  const StageProgress& p = *stage.progress;
  out += ", " + WithCommas(static_cast<int64_t>(p.done));
  if (p.total > 0) out += " of " + WithCommas(static_cast<int64_t>(p.total));
  if (!p.unit.empty()) out += " " + p.unit;
  return out;
}

json RunToJson(const RunInfo& run, double now) {
  const double end = run.finished > 0 ? run.finished : now;
  return {{"run", run.id},
          {"status", RunStatusName(run.status)},
          {"started", run.started},
          {"finished", run.finished},
          {"age_seconds", std::max(0.0, now - end)},
          {"seconds", std::max(0.0, end - run.started)},
          {"stages",
           {{"run", run.stages_run},
            {"cached", run.stages_cached},
            {"failed", run.stages_failed},
            {"skipped", run.stages_skipped}}}};
}

json ToJson(const PipelineStatus& p, double now) {
  json out = {{"pipeline", p.pipeline},
              {"file", p.file},
              {"running", nullptr},
              {"last_run", nullptr},
              {"last_success", nullptr},
              {"last_start", nullptr},
              {"consecutive_failures", p.consecutive_failures},
              {"next", json::array()}};
  if (p.last) {
    out["last_run"] = RunToJson(*p.last, now);
    if (!p.failure.empty()) out["last_run"]["failure"] = p.failure;
  }
  if (p.success) out["last_success"] = RunToJson(*p.success, now);
  if (p.note) {
    out["last_start"] = {{"time", p.note->time},
                         {"outcome", p.note->outcome},
                         {"exit_code", p.note->exit_code},
                         {"message", p.note->message}};
  }
  if (p.running) {
    json stages = json::array();
    for (const auto& s : p.stages) {
      json stage = {{"stage", s.stage}, {"attempt", s.attempt}, {"started", s.started}};
      if (s.progress) {
        stage["progress"] = {{"done", s.progress->done},
                             {"total", s.progress->total},
                             {"unit", s.progress->unit},
                             {"message", s.progress->message}};
      }
      stages.push_back(std::move(stage));
    }
    out["running"] = {{"run", p.running->id},
                      {"pid", p.running->pid},
                      {"host", p.running->host},
                      {"started", p.running->started},
                      {"stages_done", p.stages_done},
                      {"stages_total", p.running->stages.size()},
                      {"stages", stages}};
  }
  for (const auto& next : p.next)
    out["next"].push_back({{"schedule", next.schedule}, {"backend", next.backend}, {"time", next.time}});
  return out;
}

}  // namespace

Result<StoreStatus> ReadStatus(Store& store, double now, const std::string& file) {
  StoreStatus out;
  out.root = store.root();
  out.time = now;
  GF_TRY(out.usage, store.Usage());
  ReadDisk(out);
  GF_TRY(auto runs, store.ListRuns());
  std::map<std::string, PipelineStatus> by_file;
  std::map<std::string, double> latest_start;
  for (auto& run : runs) {  // latest first
    if (run.status == RunStatus::kRecovered || run.file.empty()) continue;
    if (!file.empty() && run.file != file) continue;
    PipelineStatus& p = by_file[run.file];
    if (p.file.empty()) {
      p.file = run.file;
      p.pipeline = run.pipeline;
      latest_start[run.file] = run.started;
    }
    if (run.status == RunStatus::kRunning) {
      if (!p.running) p.running = std::move(run);
      continue;
    }
    if (!p.success && IsFailure(run.status)) ++p.consecutive_failures;
    if (!p.success && run.status == RunStatus::kOk) p.success = run;
    if (!p.last) p.last = std::move(run);
  }
  for (auto& note : ReadStartNotes(store.root())) {
    if (!file.empty() && note.file != file) continue;
    PipelineStatus& p = by_file[note.file];
    p.file = note.file;
    if (p.pipeline.empty())
      p.pipeline = note.pipeline.empty() ? fs::path(note.file).stem().string() : note.pipeline;
    if (note.time < latest_start[note.file]) continue;
    p.consecutive_failures += note.IsFailure() ? 1 : 0;
    p.note = std::move(note);
  }
  for (auto& [name, p] : by_file) {
    if (p.running) GF_CHECK_OK(ReadRunning(store, p));
    if (p.last && IsFailure(p.last->status)) {
      GF_TRY(p.failure, FailureOf(store, p.last->id));
    }
    out.pipelines.push_back(std::move(p));
  }
  std::stable_sort(out.pipelines.begin(), out.pipelines.end(),
                   [](const auto& a, const auto& b) { return a.pipeline < b.pipeline; });
  return out;
}

Result<bool> FailedBefore(Store& store, const std::string& file, const std::string& run) {
  GF_TRY(const RunInfo self, store.GetRun(run));
  RunFilter filter;
  filter.pipeline = self.pipeline;
  GF_TRY(const auto runs, store.ListRuns(filter));
  const RunInfo* before = nullptr;
  for (const auto& other : runs) {
    if (other.file != file || other.id == run || other.started > self.started) continue;
    if (other.status != RunStatus::kOk && !IsFailure(other.status)) continue;
    before = &other;
    break;
  }
  const auto note = ReadStartNote(store.root(), file);
  if (note && note->IsFailure() && note->time < self.started &&
      (before == nullptr || note->time > before->started)) {
    return true;
  }
  return before != nullptr && IsFailure(before->status);
}

json ToJson(const StoreStatus& status) {
  json pipelines = json::array();
  for (const auto& p : status.pipelines) pipelines.push_back(ToJson(p, status.time));
  return {{"time", status.time},
          {"store",
           {{"path", status.root.string()},
            {"objects", status.usage.objects},
            {"bytes", status.usage.bytes},
            {"free_bytes", status.free_bytes},
            {"disk_bytes", status.disk_bytes}}},
          {"pipelines", pipelines}};
}

std::string RenderStatus(const StoreStatus& status, bool color) {
  std::string out;
  for (const auto& p : status.pipelines) {
    Facts facts;
    facts.Add("pipeline", Styled(p.pipeline, Style::kBold, color) + " (" + p.file + ")");
    if (p.running) {
      facts.Add("running", p.running->id + ", process " + std::to_string(p.running->pid) + " on " +
                               p.running->host + ", for " +
                               HumanDuration(std::max(0.0, status.time - p.running->started)) + ", " +
                               std::to_string(p.stages_done) + " of " +
                               std::to_string(p.running->stages.size()) + " stages done");
      for (const auto& stage : p.stages) facts.Add("", DescribeStage(stage, status.time));
    }
    if (p.last) {
      const std::string word = RunStatusName(p.last->status);
      facts.Add("last run", Styled(word, StyleOf(p.last->status), color) + " " +
                                Ago(status.time - p.last->finished) + ", took " +
                                HumanDuration(std::max(0.0, p.last->finished - p.last->started)) + " (" +
                                p.last->id + ")");
      facts.Add("failure", p.failure);
    } else {
      facts.Add("last run", "never");
    }
    if (p.note) {
      const Style style = p.note->IsFailure() ? Style::kRed : Style::kDim;
      facts.Add("last start", Styled(p.note->outcome, style, color) + " " + Ago(status.time - p.note->time) +
                                  ": " + p.note->message);
    }
    if (p.consecutive_failures > 0) {
      facts.Add("last success",
                p.success ? Ago(status.time - p.success->finished) + " (" + p.success->id + ")" : "never");
      facts.Add("failures", std::to_string(p.consecutive_failures) + " in a row");
    }
    for (const auto& next : p.next)
      facts.Add("next", LocalTime(next.time) + " (" + next.schedule + ", " + next.backend + ")");
    out += facts.Render() + "\n";
  }
  if (status.pipelines.empty()) out += "no pipeline has run here\n\n";
  out += "store " + status.root.string() + ": " + Counted(status.usage.objects, "object") + ", " +
         HumanBytes(status.usage.bytes) + "; " + HumanBytes(status.free_bytes) + " of the disk's " +
         HumanBytes(status.disk_bytes) + " free\n";
  return out;
}

}  // namespace genflow::cli
