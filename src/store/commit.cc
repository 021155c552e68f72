#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>

#include "base/files.h"
#include "store/attempts.h"
#include "store/hashing.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/staging_impl.h"
#include "store/store.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

Status WriteReadOnly(const fs::path& path, std::string_view bytes) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  if (auto written = WriteAll(fd.get(), bytes); !written.ok()) {
    Error error = written.error();
    error.message = path.string() + ": " + error.message;
    return error;
  }
  if (::fchmod(fd.get(), 0444) != 0) return ErrnoError(path.string(), errno);
  return Ok();
}

struct AttemptHead {
  std::string run, stage, uses, key, pipeline;
  int attempt = 1;
  double started = 0;
};

Result<AttemptHead> LoadRunningAttempt(Db& db, int64_t id) {
  GF_TRY(auto query,
         db.Prepare("SELECT a.run, a.stage, a.uses, a.key, r.pipeline, a.attempt, a.started, a.status "
                    "FROM attempts a JOIN runs r ON r.id = a.run WHERE a.id = ?"));
  GF_TRY(const bool found, query.Bind(id).Step());
  if (!found) return MakeError(Code::kNotFound, "attempt " + std::to_string(id) + " does not exist");
  AttemptHead head;
  head.run = query.Text(0);
  head.stage = query.Text(1);
  head.uses = query.Text(2);
  head.key = query.Text(3);
  head.pipeline = query.Text(4);
  head.attempt = static_cast<int>(query.Int(5));
  head.started = query.Real(6);
  if (query.View(7) != "running") {
    return InvalidError("attempt " + std::to_string(id) + " of stage '" + head.stage + "' has already ended");
  }
  return head;
}

Status SaveCacheRow(Db& db, const AttemptHead& head, int64_t attempt, const AttemptEnd& end, double now,
                    const std::vector<OutputRow>& rows) {
  GF_CHECK_OK(db.Do("DELETE FROM cache WHERE key = ?", head.key));
  GF_CHECK_OK(
      db.Do("INSERT INTO cache (key, attempt, run, stage, summary, seconds, created) VALUES (?,?,?,?,?,?,?)",
            head.key, attempt, head.run, head.stage, end.summary, now - head.started, now));
  int seq = 0;
  for (const OutputRow& row : rows) {
    GF_CHECK_OK(db.Do("INSERT INTO cache_outputs (key, seq, port, digest, type) VALUES (?,?,?,?,?)", head.key,
                      seq++, row.port, row.digest, row.type));
  }
  return Ok();
}

}  // namespace

Result<Staging> Store::Stage(const std::string& key) {
  GF_CHECK_OK(impl_->NeedWritable());
  auto staging = std::make_unique<StagingImpl>();
  staging->key = key;
  const std::string prefix = SafeName(key.substr(0, 12)) + "-" + std::to_string(::getpid()) + "-";
  while (!staging->lock.held()) {
    const std::string name = prefix + RandomName(8);
    GF_TRY(auto lock, FileLock::Try(impl_->Staging() / (name + ".lock"), ThisProcess(key)));
    if (!lock) continue;  // a cleaning process looked at the new lock file: take another name
    staging->lock = std::move(*lock);
    staging->folder = impl_->Staging() / name;
  }
  staging->scratch = staging->folder / "scratch";
  GF_CHECK_OK(MakeDirectories(staging->scratch));
  return Staging(std::move(staging));
}

Result<std::vector<PortArtifact>> Store::Commit(Staging staging, const CommitRequest& request) {
  GF_CHECK_OK(impl_->NeedWritable());
  StoreImpl& store = *impl_;
  Db& db = *store.db;
  GF_TRY(const AttemptHead head, LoadRunningAttempt(db, request.attempt));
  StagingImpl& staged = *staging.impl_;
  GF_CHECK_OK(staged.Seal(request.outputs));
  const double now = Now();
  const bool cached = request.cache && !head.key.empty() && request.end.status == AttemptStatus::kRun;

  std::vector<OutputRow> rows;
  for (const SealedOutput& output : staged.outputs)
    rows.push_back({output.spec.port, output.digest, output.spec.type});
  std::vector<Sidecar> sidecars;
  std::vector<fs::path> to_sync = staged.SyncList();
  for (const SealedOutput& output : staged.outputs) {
    Sidecar sidecar;
    sidecar.digest = output.digest;
    sidecar.type = output.spec.type;
    sidecar.created = now;
    sidecar.key = head.key;
    sidecar.pipeline = head.pipeline;
    sidecar.run = head.run;
    sidecar.stage = head.stage;
    sidecar.uses = head.uses;
    sidecar.attempt = head.attempt;
    sidecar.port = output.spec.port;
    sidecar.cached = cached;
    sidecar.outputs = rows;
    sidecar.listing = output.listing;
    const fs::path folder = staged.ObjectFolder(output.spec.port);
    GF_CHECK_OK(WriteReadOnly(folder / "object.json", SidecarToJson(sidecar)));
    to_sync.push_back(folder / "object.json");
    to_sync.push_back(folder);
    sidecars.push_back(std::move(sidecar));
  }

  GF_CHECK_OK(SyncPaths(to_sync));

  std::vector<PortArtifact> result;
  {
    GF_TRY(const auto shared, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kShared));
    std::map<std::string, size_t> seen;  // the same bytes at two ports are one object
    std::vector<bool> ours;
    std::set<fs::path> changed;
    for (size_t i = 0; i < sidecars.size(); ++i) {
      if (!seen.emplace(sidecars[i].digest, i).second) {
        ours.push_back(false);
        continue;
      }
      GF_TRY(const bool installed, InstallObject(store, staged.ObjectFolder(sidecars[i].port),
                                                 sidecars[i].digest, sidecars[i].listing, changed));
      ours.push_back(installed);
    }
    GF_CHECK_OK(SyncPaths({changed.begin(), changed.end()}));
    // Without outputs a power loss may take the row: the stage then runs again.
    GF_TRY(auto transaction, Transaction::Begin(db, !rows.empty()));
    for (size_t i = 0; i < sidecars.size(); ++i) {
      if (seen.at(sidecars[i].digest) != i) continue;
      GF_TRY(const auto known, FindArtifact(store, sidecars[i].digest));
      GF_CHECK_OK(SaveArtifact(store, sidecars[i], ours[i] || !known));
    }
    int seq = 0;
    for (const OutputRow& row : rows) {
      GF_CHECK_OK(db.Do("INSERT INTO attempt_outputs (attempt, seq, port, digest, type) VALUES (?,?,?,?,?)",
                        request.attempt, seq++, row.port, row.digest, row.type));
    }
    GF_CHECK_OK(EndAttempt(db, request.attempt, request.end, now));
    if (cached) GF_CHECK_OK(SaveCacheRow(db, head, request.attempt, request.end, now, rows));
    if (request.end.status == AttemptStatus::kRun) {
      // Exponential average: the latest execution weighs 0.3.
      GF_CHECK_OK(
          db.Do("INSERT INTO durations (pipeline, stage, seconds) VALUES (?1, ?2, ?3) "
                "ON CONFLICT(pipeline, stage) DO UPDATE SET seconds = 0.7 * seconds + 0.3 * ?3",
                head.pipeline, head.stage, now - head.started));
    }
    for (const OutputRow& row : rows) {
      GF_TRY(auto artifact, FindArtifact(store, row.digest));
      artifact->type = row.type;
      result.push_back({row.port, std::move(*artifact)});
    }
    GF_CHECK_OK(transaction.Commit());
  }
  // What is committed stands, also when the checkpoints cannot be removed now; Gc does it later.
  if (!head.key.empty()) (void)RemoveTree(store.State() / SafeName(head.key));
  return result;
}

}  // namespace genflow
