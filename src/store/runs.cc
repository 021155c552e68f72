#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/strings.h"
#include "store/attempts.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/store.h"

namespace genflow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::string NewRunId(double now) {
  const auto seconds = static_cast<std::time_t>(now);
  struct tm parts {};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M-", &parts);
  return text + RandomName(4);
}

Error NoRun(const std::string& run) {
  return MakeError(Code::kNotFound, "there is no run '" + run + "'", "`genflow runs ls` shows them");
}

constexpr char kRunColumns[] =
    "id, pipeline, file, params, status, started, finished, pid, host, argv, version, stages, origins";

std::vector<std::string> TextsOf(std::string_view json_text) {
  std::vector<std::string> texts;
  const json array = json::parse(json_text, nullptr, false);
  if (!array.is_array()) return texts;
  for (const json& item : array) texts.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  return texts;
}

std::string ToJsonText(const std::vector<std::string>& texts) {
  return json(texts).dump(-1, ' ', false, json::error_handler_t::replace);
}

RunInfo RowToRun(const Statement& row) {
  RunInfo run;
  run.id = row.Text(0);
  run.pipeline = row.Text(1);
  run.file = row.Text(2);
  run.params_json = row.Text(3);
  run.status = RunStatusFromName(row.View(4)).value_or(RunStatus::kInterrupted);
  run.started = row.Real(5);
  run.finished = row.Real(6);
  run.pid = static_cast<int>(row.Int(7));
  run.host = row.Text(8);
  run.argv = TextsOf(row.View(9));
  run.version = row.Text(10);
  run.stages = TextsOf(row.View(11));
  run.origins_json = row.Text(12);
  return run;
}

Status AddDetails(Db& db, RunInfo& run) {
  {
    GF_TRY(auto query, db.Prepare("SELECT tag FROM tags WHERE run = ? ORDER BY tag"));
    query.Bind(run.id);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      run.tags.push_back(query.Text(0));
    }
  }
  GF_TRY(auto query,
         db.Prepare("SELECT status, count(*) FROM attempts WHERE id IN (SELECT max(id) FROM attempts "
                    "WHERE run = ? GROUP BY stage) GROUP BY status"));
  query.Bind(run.id);
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    const int count = static_cast<int>(query.Int(1));
    switch (AttemptStatusFromName(query.View(0)).value_or(AttemptStatus::kFailed)) {
      case AttemptStatus::kRun:
        run.stages_run += count;
        break;
      case AttemptStatus::kCached:
        run.stages_cached += count;
        break;
      case AttemptStatus::kSkipped:
        run.stages_skipped += count;
        break;
      case AttemptStatus::kFailed:
      case AttemptStatus::kGated:
      case AttemptStatus::kInterrupted:
        run.stages_failed += count;
        break;
      case AttemptStatus::kRunning:
        break;
    }
  }
  return Ok();
}

constexpr char kAttemptColumns[] =
    "a.id, a.run, a.stage, a.uses, a.attempt, a.status, a.key, a.components, a.started, a.finished, "
    "a.exit_code, "
    "a.exit_signal, a.error_code, a.error_message, a.error_hint, a.summary, a.peak_rss, a.cpu, a.log, "
    "a.source_run, "
    "a.source_seconds, a.retry_at";

AttemptInfo RowToAttempt(const StoreImpl& store, const Statement& row) {
  AttemptInfo info;
  info.id = row.Int(0);
  info.run = row.Text(1);
  info.stage = row.Text(2);
  info.uses = row.Text(3);
  info.attempt = static_cast<int>(row.Int(4));
  info.status = AttemptStatusFromName(row.View(5)).value_or(AttemptStatus::kFailed);
  info.key = row.Text(6);
  info.key_components_json = row.Text(7);
  info.started = row.Real(8);
  info.finished = row.Real(9);
  info.end.status = info.status;
  info.end.exit_code = static_cast<int>(row.Int(10));
  info.end.exit_signal = static_cast<int>(row.Int(11));
  info.end.error_code = row.Text(12);
  info.end.error_message = row.Text(13);
  info.end.error_hint = row.Text(14);
  info.end.summary = row.Text(15);
  info.end.peak_rss_bytes = static_cast<uint64_t>(row.Int(16));
  info.end.cpu_seconds = row.Real(17);
  const std::string log = row.Text(18);
  if (!log.empty()) info.log = (store.root / log).string();  // an absolute one stays itself
  info.source_run = row.Text(19);
  info.source_seconds = row.Real(20);
  info.end.retry_at = row.Real(21);
  return info;
}

Status AddLineage(StoreImpl& store, AttemptInfo& info) {
  GF_TRY(info.inputs, ReadInputs(*store.db, info.id));
  GF_TRY(auto query, store.db->Prepare("SELECT o.port, o.type, " GENFLOW_ARTIFACT_COLUMNS
                                       " FROM attempt_outputs o JOIN artifacts a ON a.digest = o.digest "
                                       "WHERE o.attempt = ? ORDER BY o.seq"));
  query.Bind(info.id);
  GF_TRY(info.outputs, ReadOutputs(store, query));
  return Ok();
}

Status DeleteRun(StoreImpl& store, const std::string& run) {
  GF_TRY(auto transaction, Transaction::Begin(*store.db, true));
  {
    GF_TRY(auto query, store.db->Prepare("SELECT status, pid FROM runs WHERE id = ?"));
    GF_TRY(const bool found, query.Bind(run).Step());
    if (!found) return NoRun(run);
    if (query.View(0) == "running") {
      return MakeError(Code::kBusy,
                       "run '" + run + "' is still running (process " + std::to_string(query.Int(1)) + ")",
                       "stop it first");
    }
  }
  GF_CHECK_OK(store.db->Do("DELETE FROM runs WHERE id = ?", run));
  GF_CHECK_OK(transaction.Commit());
  return RemoveTree(store.Logs() / SafeName(run));
}

}  // namespace

Result<int64_t> InsertAttempt(StoreImpl& store, const AttemptStart& start, double now) {
  Db& db = *store.db;
  std::string log = start.log;
  // Kept relative, so that the store can move.
  if (const std::string root = store.root.string() + "/"; log.starts_with(root)) log.erase(0, root.size());
  GF_CHECK_OK(db.Do(
      "INSERT INTO attempts (run, stage, uses, attempt, status, key, components, started, log) "
      "VALUES (?,?,?,?,'running',?,?,?,?)",
      start.run, start.stage, start.uses, start.attempt, start.key, start.key_components_json, now, log));
  const int64_t attempt = db.LastRowId();
  GF_CHECK_OK(InsertInputs(db, attempt, start.inputs));
  return attempt;
}

Status EndAttempt(Db& db, int64_t attempt, const AttemptEnd& end, double now) {
  GF_CHECK_OK(db.Do(
      "UPDATE attempts SET status = ?, finished = max(started, ?), exit_code = ?, exit_signal = ?, "
      "error_code = ?, "
      "error_message = ?, error_hint = ?, summary = ?, peak_rss = ?, cpu = ?, retry_at = ? WHERE id = ? "
      "AND status = 'running'",
      AttemptStatusName(end.status), now, end.exit_code, end.exit_signal, end.error_code, end.error_message,
      end.error_hint, end.summary, end.peak_rss_bytes, end.cpu_seconds, end.retry_at, attempt));
  if (db.Changes() == 1) return Ok();
  return InvalidError("attempt " + std::to_string(attempt) + " does not exist or has already ended");
}

Result<std::string> Store::StartRun(const RunStart& start) {
  GF_CHECK_OK(impl_->NeedWritable());
  const double now = Now();
  while (true) {
    const std::string id = NewRunId(now);
    // Locked before it can be seen: a row that says "running" without a lock holder is a dead run.
    GF_TRY(auto lock, FileLock::Try(impl_->RunLock(id), ThisProcess(start.pipeline, id)));
    if (!lock) continue;
    const LockHolder self = ThisProcess(start.pipeline, id);
    GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
    GF_CHECK_OK(impl_->db->Do(
        "INSERT INTO runs (id, pipeline, file, params, argv, version, stages, origins, pid, host, started, "
        "status, seq) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?,'running', " GENFLOW_NEXT_SEQ ") ON CONFLICT(id) DO NOTHING",
        id, start.pipeline, start.file, start.params_json, ToJsonText(start.argv), start.version,
        ToJsonText(start.stages), start.origins_json, self.pid, self.host, now));
    if (impl_->db->Changes() == 0) continue;
    GF_CHECK_OK(transaction.Commit());
    impl_->live_runs[id] = std::move(*lock);
    return id;
  }
}

Status Store::FinishRun(const std::string& run, RunStatus status) {
  GF_CHECK_OK(impl_->NeedWritable());
  // The record of a run that did nothing is not worth waiting for the disk.
  const bool durable = impl_->attempts_at_risk || impl_->work_at_risk > 0;
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, durable));
  GF_CHECK_OK(impl_->db->Do("UPDATE runs SET status = ?, finished = max(started, ?) WHERE id = ?",
                            RunStatusName(status), Now(), run));
  if (impl_->db->Changes() == 0) return NoRun(run);
  GF_CHECK_OK(transaction.Commit());
  impl_->attempts_at_risk = false;
  impl_->work_at_risk = 0;
  impl_->live_runs.erase(run);
  return Ok();
}

Result<std::string> FindRunHiddenBy(StoreImpl& store, const std::string& tag) {
  constexpr size_t kLeast = 4;  // the random end of an id: less is no run's name that anybody would write
  if (tag == "latest" || tag == "latest-ok") return std::string("the latest run");
  if (tag.size() < kLeast) return std::string();
  GF_TRY(auto query, store.db->Prepare("SELECT id FROM runs WHERE substr(id, 1, length(?1)) = ?1 OR "
                                       "substr(id, -length(?1)) = ?1 ORDER BY seq DESC LIMIT 1"));
  GF_TRY(const bool found, query.Bind(ToLowerAscii(tag)).Step());
  return found ? "run " + query.Text(0) : std::string();
}

Result<std::string> Store::RunHiddenBy(const std::string& tag) { return FindRunHiddenBy(*impl_, tag); }

Status Store::TagRun(const std::string& run, const std::string& tag) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, true));
  GF_TRY(const auto exists, impl_->db->Number("SELECT 1 FROM runs WHERE id = ?", run));
  if (!exists) return NoRun(run);
  GF_CHECK_OK(impl_->db->Do("INSERT INTO tags (run, tag) VALUES (?, ?) ON CONFLICT DO NOTHING", run, tag));
  return transaction.Commit();
}

Status Store::UntagRun(const std::string& run, const std::string& tag) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, true));
  GF_CHECK_OK(impl_->db->Do("DELETE FROM tags WHERE run = ? AND tag = ?", run, tag));
  if (impl_->db->Changes() == 0) {
    return MakeError(Code::kNotFound, "run '" + run + "' has no tag '" + tag + "'");
  }
  return transaction.Commit();
}

Result<int64_t> Store::StartAttempt(const AttemptStart& start) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
  GF_TRY(const int64_t attempt, InsertAttempt(*impl_, start, Now()));
  GF_CHECK_OK(transaction.Commit());
  impl_->attempts_at_risk = true;
  return attempt;
}

Status Store::FinishAttempt(int64_t attempt, const AttemptEnd& end) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
  GF_CHECK_OK(EndAttempt(*impl_->db, attempt, end, Now()));
  return transaction.Commit();
}

Status Store::ClearKey(int64_t attempt) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
  GF_CHECK_OK(impl_->db->Do("UPDATE attempts SET key = '' WHERE id = ?", attempt));
  return transaction.Commit();
}

Result<int64_t> Store::RecordAttempt(const AttemptStart& start, const AttemptEnd& end) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_TRY(auto transaction, Transaction::Begin(*impl_->db, false));
  const double now = Now();
  GF_TRY(const int64_t attempt, InsertAttempt(*impl_, start, now));
  GF_CHECK_OK(EndAttempt(*impl_->db, attempt, end, now));
  GF_CHECK_OK(transaction.Commit());
  return attempt;
}

Result<std::vector<RunInfo>> Store::ListRuns(const RunFilter& filter) {
  std::vector<RunInfo> runs;
  {
    GF_TRY(auto query,
           impl_->db->Prepare(std::string("SELECT ") + kRunColumns +
                              " FROM runs WHERE (?1 = '' OR pipeline = ?1) AND (?2 = '' OR status = ?2) "
                              "AND (?3 = '' OR EXISTS (SELECT 1 FROM tags WHERE run = id AND tag = ?3)) "
                              "AND started >= ?4 ORDER BY seq DESC LIMIT ?5"));
    query.Bind(filter.pipeline, filter.status ? RunStatusName(*filter.status) : "", filter.tag, filter.since,
               filter.limit > 0 ? filter.limit : -1);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      runs.push_back(RowToRun(query));
    }
  }
  for (RunInfo& run : runs) GF_CHECK_OK(AddDetails(*impl_->db, run));
  return runs;
}

Result<RunInfo> Store::GetRun(const std::string& id) {
  RunInfo run;
  {
    GF_TRY(auto query, impl_->db->Prepare(std::string("SELECT ") + kRunColumns + " FROM runs WHERE id = ?"));
    GF_TRY(const bool found, query.Bind(id).Step());
    if (!found) return NoRun(id);
    run = RowToRun(query);
  }
  GF_CHECK_OK(AddDetails(*impl_->db, run));
  return run;
}

Result<std::vector<AttemptInfo>> Store::ListAttempts(const std::string& run, const std::string& stage) {
  std::vector<AttemptInfo> attempts;
  {
    GF_TRY(auto query, impl_->db->Prepare(std::string("SELECT ") + kAttemptColumns +
                                          " FROM attempts a WHERE a.run = ?1 AND (?2 = '' OR a.stage = ?2) "
                                          "ORDER BY a.id"));
    query.Bind(run, stage);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      attempts.push_back(RowToAttempt(*impl_, query));
    }
  }
  for (AttemptInfo& info : attempts) GF_CHECK_OK(AddLineage(*impl_, info));
  return attempts;
}

Result<std::optional<AttemptInfo>> Store::PreviousAttempt(const std::string& pipeline,
                                                          const std::string& stage, int64_t before) {
  std::optional<AttemptInfo> found;
  {
    GF_TRY(auto query,
           impl_->db->Prepare(std::string("SELECT ") + kAttemptColumns +
                              " FROM attempts a JOIN runs r ON r.id = a.run WHERE a.stage = ?1 AND "
                              "r.pipeline = ?2 AND a.key <> '' AND a.status <> 'skipped' AND "
                              "(?3 = 0 OR a.id < ?3) ORDER BY a.id DESC LIMIT 1"));
    GF_TRY(const bool row, query.Bind(stage, pipeline, before).Step());
    if (row) found = RowToAttempt(*impl_, query);
  }
  if (found) GF_CHECK_OK(AddLineage(*impl_, *found));
  return found;
}

Status Store::RemoveRun(const std::string& run) {
  GF_CHECK_OK(impl_->NeedWritable());
  return WithBallast(*impl_, [&] { return DeleteRun(*impl_, run); });
}

}  // namespace genflow
