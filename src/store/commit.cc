// Outputs become artifacts, in the steps of docs/concepts/commit-protocol.md: 1 seal, 2 sidecar, 3 sync, 4
// rename, 5 sync of the folders, 6 one transaction. A row that names an object is durable only after every
// byte of it is. Stopped before step 6, all of it is rubbish in staging/, or objects without a row, which
// harm nobody.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
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

// Seconds since the start; none where the clock has gone back since.
double Elapsed(const AttemptHead& head, double now) { return std::max(0.0, now - head.started); }

Status SaveCacheRow(Db& db, const AttemptHead& head, int64_t attempt, const AttemptEnd& end, double now,
                    const std::vector<OutputRow>& rows) {
  GF_CHECK_OK(db.Do("DELETE FROM cache WHERE key = ?", head.key));
  GF_CHECK_OK(
      db.Do("INSERT INTO cache (key, attempt, run, stage, summary, seconds, created) VALUES (?,?,?,?,?,?,?)",
            head.key, attempt, head.run, head.stage, end.summary, Elapsed(head, now), now));
  return InsertCachedOutputs(db, head.key, rows);
}

// One attempt on its way into the store.
struct Committing {
  StagingImpl* staged;
  const CommitRequest* request;
  AttemptHead head;
  bool cached;
  std::vector<OutputRow> rows;
  std::vector<bool> ours;  // by output: the object that is there is the one that was staged
  std::map<std::string, size_t>
      first;                   // digest -> its first output: the same bytes at two ports are one object
  std::optional<Error> error;  // of this attempt alone
  std::vector<PortArtifact> result;
};

// Everything that needs neither the objects' lock nor a write to the database. Nothing is durable after it.
Result<Committing> Prepare(StoreImpl& store, StagingImpl& staged, const CommitRequest& request) {
  GF_CHECK_OK(store.NeedWritable());
  Committing item{&staged, &request, {}, false, {}, {}, {}, {}, {}};
  GF_TRY(item.head, LoadRunningAttempt(*store.db, request.attempt));
  const AttemptHead& head = item.head;
  item.cached = request.cache && !head.key.empty() && request.end.status == AttemptStatus::kRun;
  GF_CHECK_OK(staged.Seal(request.outputs));  // 1: read-only, each file hashed once
  GF_CHECK_OK(staged.WriteSidecars(           // 2: a copy of the rows of step 6
      {head.run, head.pipeline, head.stage, head.uses, head.key, head.attempt, item.cached}));
  for (const SealedOutput& output : staged.outputs)
    item.rows.push_back({output.spec.port, output.digest, output.spec.type});
  return item;
}

// Moves the objects into place. `changed`: folders to sync before the rows are committed.
Status Install(StoreImpl& store, Committing* item, std::set<fs::path>* changed) {
  auto& sidecars = item->staged->sidecars;
  for (size_t i = 0; i < sidecars.size(); ++i) {
    if (!item->first.emplace(sidecars[i].digest, i).second) {
      item->ours.push_back(false);
      continue;
    }
    GF_TRY(const bool installed, InstallObject(store, item->staged->ObjectFolder(sidecars[i].port),
                                               sidecars[i].digest, sidecars[i].listing, *changed));
    item->ours.push_back(installed);
  }
  return Ok();
}

// The rows of an attempt whose objects are in place; inside a transaction.
Status SaveRows(StoreImpl& store, Committing* item, double now) {
  Db& db = *store.db;
  const CommitRequest& request = *item->request;
  const auto& sidecars = item->staged->sidecars;
  for (size_t i = 0; i < sidecars.size(); ++i) {
    if (item->first.at(sidecars[i].digest) != i) continue;
    GF_TRY(const auto known, FindArtifact(store, sidecars[i].digest));
    GF_CHECK_OK(SaveArtifact(store, sidecars[i], item->ours[i] || !known));
  }
  GF_CHECK_OK(InsertOutputs(db, request.attempt, item->rows));
  GF_CHECK_OK(EndAttempt(db, request.attempt, request.end, now));
  if (item->cached) GF_CHECK_OK(SaveCacheRow(db, item->head, request.attempt, request.end, now, item->rows));
  if (request.end.status == AttemptStatus::kRun) {
    // Exponential average: the latest execution weighs 0.3.
    GF_CHECK_OK(
        db.Do("INSERT INTO durations (pipeline, stage, seconds) VALUES (?1, ?2, ?3) "
              "ON CONFLICT(pipeline, stage) DO UPDATE SET seconds = 0.7 * seconds + 0.3 * ?3",
              item->head.pipeline, item->head.stage, Elapsed(item->head, now)));
  }
  for (const OutputRow& row : item->rows) {
    GF_TRY(auto artifact, FindArtifact(store, row.digest));
    artifact->type = row.type;
    item->result.push_back({row.port, std::move(*artifact)});
  }
  return Ok();
}

// The objects' lock, shared, and then a transaction: in the order in which everybody takes them. Nothing
// where another process keeps one of them for `patience_ms`; without a patience, as long as the store waits.
struct CommitLocks {
  SharedLock objects;
  Transaction transaction;
};

Result<std::optional<CommitLocks>> TakeLocks(StoreImpl& store, bool durable, std::optional<int> patience_ms) {
  if (!patience_ms) {
    GF_TRY(auto objects, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kShared));
    GF_TRY(auto transaction, Transaction::Begin(*store.db, durable, true));
    return std::optional(CommitLocks{std::move(objects), std::move(transaction)});
  }
  GF_TRY(auto objects, SharedLock::Try(store.ObjectsLock(), SharedLock::Mode::kShared));
  if (!objects) return std::optional<CommitLocks>();
  GF_TRY(auto transaction, Transaction::Try(*store.db, durable, *patience_ms));
  if (!transaction) return std::optional<CommitLocks>();
  return std::optional(CommitLocks{*std::move(objects), *std::move(transaction)});
}

// Steps 3 to 6 for all of them together. An error is that of every item without one of its own. False: the
// locks cannot be had now, and nothing has been done.
Result<bool> CommitPrepared(StoreImpl& store, std::vector<Committing>* items,
                            std::optional<int> patience_ms) {
  std::vector<fs::path> to_sync;
  bool continued = false;  // checkpoints go after the commit, and hold who knows how much work
  for (const Committing& item : *items) {
    const auto paths = item.staged->SyncList();
    to_sync.insert(to_sync.end(), paths.begin(), paths.end());
    std::error_code ec;
    continued |= !item.head.key.empty() && !fs::is_empty(store.State() / SafeName(item.head.key), ec) && !ec;
  }
  // 3: every byte and every name inside the objects is durable; nothing outside staging/ refers to them yet.
  // A rename may reach the disk before the data that it renames: this comes first.
  GF_CHECK_OK(SyncPaths(to_sync));
  const double now = Now();
  double work = store.work_at_risk;
  for (const Committing& item : *items) work += std::max(0.0, now - item.head.started);
  const bool durable = continued || work >= kWorkAtRisk;
  // Rows that stand for little work may wait for the disk: a power loss then forgets them, and the work is
  // done again. The transaction of step 6 begins here: where it cannot, nothing has been moved.
  GF_TRY(auto locks, TakeLocks(store, durable, patience_ms));
  if (!locks) return false;
  // 4: the objects are in their places, whole, and seen by nobody.
  std::set<fs::path> changed;
  for (Committing& item : *items) {
    if (const Status installed = Install(store, &item, &changed); !installed.ok())
      item.error = installed.error();
  }
  // 5: their names are durable, before a row promises them.
  GF_CHECK_OK(SyncPaths({changed.begin(), changed.end()}));
  for (Committing& item : *items) {
    if (!item.error) GF_CHECK_OK(SaveRows(store, &item, now));
  }
  // 6: all outputs of an attempt are visible, or none is.
  GF_CHECK_OK(locks->transaction.Commit());
  store.work_at_risk = durable ? 0 : work;
  return true;
}

}  // namespace

Result<Staging> Store::Stage(const std::string& key) {
  GF_CHECK_OK(impl_->NeedWritable());
  GF_CHECK_OK(impl_->NeedHome());
  auto staging = std::make_unique<StagingImpl>();
  staging->key = key;
  GF_TRY(staging->folder, impl_->home->Take(key));
  staging->home = impl_->home;
  staging->scratch = staging->folder / "scratch";
  return Staging(std::move(staging));
}

Result<std::vector<PortArtifact>> Store::Commit(Staging staging, const CommitRequest& request) {
  std::vector<Pending> pending;
  pending.push_back({std::move(staging), request});
  return std::move(CommitAll(std::move(pending)).front());
}

std::vector<Result<std::vector<PortArtifact>>> Store::CommitAll(std::vector<Pending> pending) {
  return *CommitWithin(&pending, std::nullopt);
}

std::optional<std::vector<Result<std::vector<PortArtifact>>>> Store::TryCommitAll(
    std::vector<Pending>* pending, int patience_ms) {
  return CommitWithin(pending, patience_ms);
}

std::optional<std::vector<Result<std::vector<PortArtifact>>>> Store::CommitWithin(
    std::vector<Pending>* pending, std::optional<int> patience_ms) {
  std::vector<Committing> items;
  std::vector<size_t> place;  // of each item among the pending
  std::vector<Result<std::vector<PortArtifact>>> results;
  for (size_t i = 0; i < pending->size(); ++i) {
    results.emplace_back(MakeError(Code::kInternal, "was not committed"));
    auto item = Prepare(*impl_, *(*pending)[i].staging.impl_, (*pending)[i].request);
    if (item.ok()) {
      items.push_back(*std::move(item));
      place.push_back(i);
    } else {
      results[i] = item.error();
    }
  }
  const auto committed = CommitPrepared(*impl_, &items, patience_ms);
  if (committed.ok() && !*committed) return std::nullopt;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].error)
      results[place[i]] = *items[i].error;
    else if (!committed.ok())
      results[place[i]] = committed.error();
    else
      results[place[i]] = std::move(items[i].result);
    // What is committed stands, also when the checkpoints cannot be removed now; Gc does it later.
    if (results[place[i]].ok() && !items[i].head.key.empty())
      impl_->home->RemoveState(impl_->State() / SafeName(items[i].head.key));
  }
  pending->clear();
  return results;
}

}  // namespace genflow
