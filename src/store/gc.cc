#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>

#include "base/files.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/staging_impl.h"
#include "store/store.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

// Digests of unchanged workspace files that nobody asked for in this time are forgotten.
constexpr double kFileDigestAge = 90 * 86400.0;

constexpr char kReached[] =
    "SELECT digest FROM attempt_outputs UNION SELECT digest FROM attempt_inputs UNION SELECT digest FROM "
    "models";

uint64_t Sum(const std::vector<GcItem>& items) {
  uint64_t bytes = 0;
  for (const GcItem& item : items) bytes += item.bytes;
  return bytes;
}

// A gate compares with the latest run that succeeded, and with that of a model's alias.
constexpr char kOldRuns[] =
    "SELECT id, pipeline, status FROM (SELECT id, pipeline, status, started, seq, "
    "row_number() OVER (PARTITION BY pipeline ORDER BY seq DESC) AS age, "
    "row_number() OVER (PARTITION BY pipeline, status ORDER BY seq DESC) AS age_of_status FROM runs) "
    "WHERE age > ?1 AND started < ?2 AND status <> 'running' AND NOT (status = 'ok' AND age_of_status = 1) "
    "AND id NOT IN (SELECT run FROM tags) AND id NOT IN (SELECT m.run FROM models m "
    "JOIN model_aliases a ON a.name = m.name AND a.version = m.version) ORDER BY seq";

// Everything but the latest runs of each pipeline, with its rows. The latest that
// succeeded, runs that are tagged, and those that made a model with an alias stay.
Status RemoveOldRuns(StoreImpl& store, const GcOptions& options, GcReport& report) {
  if (options.keep_last <= 0 && options.keep_age <= 0) return Ok();
  {
    GF_TRY(auto query, store.db->Prepare(kOldRuns));
    const double newest =
        options.keep_age > 0 ? Now() - options.keep_age : std::numeric_limits<double>::max();
    query.Bind(std::max(1, options.keep_last), newest);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      report.runs.push_back({query.Text(0), query.Text(2) + " run of " + query.Text(1), 0});
    }
  }
  for (const GcItem& run : report.runs) GF_CHECK_OK(store.db->Do("DELETE FROM runs WHERE id = ?", run.name));
  return Ok();
}

// Rows of objects that no run is left to reach; the rest is counted.
Status RemoveUnreached(StoreImpl& store, const GcOptions& options, GcReport& report) {
  Db& db = *store.db;
  {
    GF_TRY(auto query,
           db.Prepare(std::string("SELECT digest, type, stage, port, run, CASE lost WHEN 0 THEN bytes "
                                  "ELSE 0 END FROM artifacts WHERE digest NOT IN (") +
                      kReached + ") ORDER BY digest"));
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      report.objects.push_back(
          {query.Text(0), query.Text(1) + " " + query.Text(2) + "." + query.Text(3) + " of " + query.Text(4),
           static_cast<uint64_t>(query.Int(5))});
    }
  }
  uint64_t done = 0;
  for (const GcItem& object : report.objects) {
    if (options.progress)
      options.progress(options.dry_run ? "looking at" : "forgetting", done++, report.objects.size());
    GF_CHECK_OK(db.Do("DELETE FROM cache WHERE key IN (SELECT key FROM cache_outputs WHERE digest = ?)",
                      object.name));
    GF_CHECK_OK(db.Do("DELETE FROM artifacts WHERE digest = ?", object.name));
  }
  GF_CHECK_OK(
      db.Do("DELETE FROM cache WHERE key NOT IN (SELECT key FROM cache_outputs) AND "
            "key NOT IN (SELECT key FROM attempts)"));
  GF_CHECK_OK(db.Do("DELETE FROM file_digests WHERE checked_ns < ?",
                    static_cast<int64_t>((Now() - kFileDigestAge) * 1e9)));
  GF_TRY(auto kept, db.Prepare("SELECT count(*), ifnull(sum(bytes), 0) FROM artifacts WHERE lost = 0"));
  GF_TRY(const bool row, kept.Step());
  if (row) {
    report.kept_objects = static_cast<uint64_t>(kept.Int(0));
    report.kept_bytes = static_cast<uint64_t>(kept.Int(1));
  }
  return Ok();
}

// Objects on disk that had no row before this collection; they are not measured. The caller holds the objects
// lock alone.
Status FindUnregistered(StoreImpl& store, GcReport& report) {
  GF_TRY(const auto on_disk, ObjectsOnDisk(store, nullptr));
  std::set<std::string> collected;
  for (const GcItem& object : report.objects) collected.insert(object.name);
  for (const std::string& digest : on_disk) {
    if (collected.count(digest) != 0) continue;
    GF_TRY(const auto known, FindArtifact(store, digest));
    if (known && !known->lost) continue;
    report.unregistered.push_back({digest, "object that store.db does not know", 0});
  }
  return Ok();
}

Result<std::set<std::string>> TextSet(Db& db, const char* sql) {
  std::set<std::string> texts;
  GF_TRY(auto query, db.Prepare(sql));
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) return texts;
    texts.insert(SafeName(query.View(0)));
  }
}

// Old folders in `parent` whose names are not in `used`.
Status RemoveOld(const fs::path& parent, const std::set<std::string>& used, double max_age,
                 const std::string& what, bool dry_run, std::vector<GcItem>& items) {
  GF_TRY(const auto names, FolderNames(parent));
  for (const std::string& name : names) {
    const fs::path path = parent / name;
    if (used.count(name) != 0 || AgeOf(path) < max_age) continue;
    items.push_back({name, what, TreeBytes(path)});
    if (!dry_run) GF_CHECK_OK(RemoveTree(path));
  }
  return Ok();
}

// Old checkpoints of keys that nobody computes. Each goes under its key's lock: a run that begins the key
// meanwhile finds all of them or none.
Status RemoveOldState(StoreImpl& store, const std::set<std::string>& computing, const GcOptions& options,
                      const fs::path& trash, GcReport& report) {
  GF_TRY(const auto names, FolderNames(store.State()));
  for (const std::string& name : names) {
    const fs::path path = store.State() / name, aside = trash / ("state-" + name);
    {
      if (computing.count(name) != 0 || AgeOf(path) < options.state_max_age) continue;
      GF_TRY(const auto lock, LockKey(store, name, "gc"));
      if (!lock || AgeOf(path) < options.state_max_age) continue;
      if (!options.dry_run && ::rename(path.c_str(), aside.c_str()) != 0) {
        if (errno == ENOENT) continue;
        return ErrnoError(path.string(), errno);
      }
    }
    report.state.push_back(
        {name, "checkpoints that nothing continues", TreeBytes(options.dry_run ? path : aside)});
    GF_CHECK_OK(RemoveTree(aside));
  }
  return Ok();
}

// Rows that no run is left to reach go, then their objects and those without a row: into `trash`.
Status RemoveFromStore(StoreImpl& store, const GcOptions& options, const fs::path& trash, GcReport& report) {
  GF_TRY(const auto alone, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kExclusive));
  {
    // What writes to the database waits meanwhile, so that no file is looked at here.
    GF_TRY(auto transaction, Transaction::Begin(*store.db, true));
    GF_CHECK_OK(RemoveOldRuns(store, options, report));
    GF_CHECK_OK(RemoveUnreached(store, options, report));
    // Rows first: an object without a row is rubbish, a row without an object would be damage.
    if (!options.dry_run) GF_CHECK_OK(transaction.Commit());
  }
  GF_CHECK_OK(FindUnregistered(store, report));
  if (options.dry_run) return Ok();
  const uint64_t total = report.objects.size() + report.unregistered.size();
  uint64_t done = 0;
  for (const auto* items : {&report.objects, &report.unregistered}) {
    for (const GcItem& item : *items) {
      if (options.progress) options.progress("setting aside", done++, total);
      const fs::path from = ObjectFolder(store, item.name);
      if (::rename(from.c_str(), (trash / item.name).c_str()) != 0 && errno != ENOENT)
        return ErrnoError(from.string(), errno);
    }
  }
  return Ok();
}

// What has no size from its row.
void Measure(StoreImpl& store, const fs::path& trash, GcReport& report) {
  for (GcItem& run : report.runs) run.bytes = TreeBytes(store.Logs() / SafeName(run.name));
  for (GcItem& object : report.unregistered)
    object.bytes = TreeBytes(report.dry_run ? ObjectFolder(store, object.name) : trash / object.name);
}

}  // namespace

uint64_t GcReport::TotalBytes() const {
  return Sum(runs) + Sum(objects) + Sum(unregistered) + Sum(staging) + Sum(state) + Sum(quarantine) +
         Sum(logs);
}

Result<GcReport> Store::Gc(const GcOptions& options) {
  GF_CHECK_OK(impl_->NeedWritable());
  auto report = WithBallast(*impl_, [&] { return Collect(options); });
  if (report.ok() && !options.dry_run) impl_->Spare().Fill();
  return report;
}

Result<GcReport> Store::Collect(const GcOptions& options) {
  StoreImpl& store = *impl_;
  GcReport report;
  report.dry_run = options.dry_run;
  // What is taken out of objects/ goes here first and is deleted when no lock is held any more. If this
  // process dies meanwhile, the next one that opens the store deletes it.
  GF_TRY(const Staging trash, Stage("gc"));
  GF_CHECK_OK(RemoveFromStore(store, options, trash.scratch(), report));
  Measure(store, trash.scratch(), report);
  if (!options.dry_run) {
    const uint64_t total = report.objects.size() + report.unregistered.size();
    uint64_t done = 0;
    for (const auto* items : {&report.objects, &report.unregistered}) {
      for (const GcItem& item : *items) {
        if (options.progress) options.progress("deleting", done++, total);
        GF_CHECK_OK(RemoveTree(trash.scratch() / item.name));
      }
    }
    for (const GcItem& run : report.runs) GF_CHECK_OK(RemoveTree(store.Logs() / SafeName(run.name)));
  }
  GF_TRY(const auto dead, CleanStaging(store, !options.dry_run));
  for (const std::string& name : dead) {
    report.staging.push_back(
        {name, "staging folder of a process that is gone", TreeBytes(store.Staging() / name)});
  }
  GF_TRY(const auto computing,
         TextSet(*store.db, "SELECT DISTINCT key FROM attempts WHERE status = 'running'"));
  GF_CHECK_OK(RemoveOldState(store, computing, options, trash.scratch(), report));
  GF_CHECK_OK(RemoveOld(store.Quarantine(), {}, options.quarantine_max_age, "damaged object", options.dry_run,
                        report.quarantine));
  GF_TRY(const auto run_ids, TextSet(*store.db, "SELECT id FROM runs"));
  GF_CHECK_OK(RemoveOld(store.Logs(), run_ids, options.state_max_age,
                        "logs of a run that store.db does not know", options.dry_run, report.logs));
  return report;
}

}  // namespace genflow
