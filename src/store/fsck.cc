#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/files.h"
#include "store/impl.h"
#include "store/objects.h"
#include "store/store.h"
#include "store/tree.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

struct Check {
  StoreImpl& store;
  const FsckOptions& options;
  FsckReport report;
  uint64_t done_bytes = 0, total_bytes = 0;

  FsckProblem& Add(FsckKind kind, std::string subject, std::string detail) {
    report.problems.push_back({kind, std::move(subject), std::move(detail), {}, false});
    return report.problems.back();
  }
  bool Repairs() const { return options.repair && !store.read_only; }
  void Progress(uint64_t bytes) {
    done_bytes += bytes;
    if (options.progress) options.progress(done_bytes, total_bytes);
  }
};

Status CheckDatabase(Check& check) {
  GF_TRY(auto query, check.store.db->Prepare("PRAGMA integrity_check"));
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    if (query.View(0) != "ok") check.Add(FsckKind::kDatabase, check.store.DbPath().string(), query.Text(0));
  }
  GF_TRY(auto keys, check.store.db->Prepare("PRAGMA foreign_key_check"));
  while (true) {
    GF_TRY(const bool row, keys.Step());
    if (!row) break;
    check.Add(FsckKind::kDatabase, check.store.DbPath().string(),
              "a row of table " + keys.Text(0) + " refers to one of " + keys.Text(2) + " that is gone");
  }
  return Ok();
}

// "run:stage.port" of every attempt that made or used it, and models.
Result<std::vector<std::string>> Dependents(StoreImpl& store, const std::string& digest) {
  std::vector<std::string> names;
  GF_TRY(auto query,
         store.db->Prepare(
             "SELECT t.run || ':' || t.stage || '.' || o.port FROM attempt_outputs o JOIN attempts t ON "
             "t.id = o.attempt WHERE o.digest = ?1 UNION SELECT t.run || ':' || t.stage || '.' || i.port "
             "FROM attempt_inputs i JOIN attempts t ON t.id = i.attempt WHERE i.digest = ?1 UNION "
             "SELECT 'model ' || name || '@' || version FROM models WHERE digest = ?1 ORDER BY 1"));
  query.Bind(digest);
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) return names;
    names.push_back(query.Text(0));
  }
}

Status CheckSidecar(Check& check, const std::string& digest) {
  StoreImpl& store = check.store;
  auto sidecar = ReadSidecar(ObjectFolder(store, digest), digest);
  if (sidecar.ok()) return Ok();
  FsckProblem& problem = check.Add(FsckKind::kDamagedSidecar, digest, sidecar.error().message);
  if (!check.Repairs()) return Ok();
  GF_TRY(const Sidecar right, SidecarFromRows(store, digest));
  GF_CHECK_OK(WriteFileAtomic(ObjectFolder(store, digest) / "object.json", SidecarToJson(right), 0444));
  problem.repaired = true;
  return Ok();
}

Status CheckRegistered(Check& check, const std::string& digest) {
  StoreImpl& store = check.store;
  auto listing = LoadListing(store, digest);
  if (!listing.ok()) {
    GF_TRY(const auto known, FindArtifact(store, digest));
    if (!known) return Ok();  // collected meanwhile
    check.Add(FsckKind::kDatabase, digest, listing.error().message);
    return Ok();
  }
  const uint64_t before = check.done_bytes;
  const CheckDepth depth = check.options.hash ? CheckDepth::kContent : CheckDepth::kStat;
  std::string damage;
  bool missing = false;
  auto compared =
      CheckTree(ObjectData(store, digest), *listing, depth, [&](uint64_t bytes) { check.Progress(bytes); });
  if (!compared.ok()) {
    damage = compared.error().message;  // unreadable is as bad as wrong
  } else if (!compared->problem.empty()) {
    damage = compared->problem;
    std::error_code ec;
    missing = !fs::exists(fs::symlink_status(ObjectData(store, digest), ec));
  } else if (compared->refreshed && !store.read_only) {
    GF_TRY(auto transaction, Transaction::Begin(*store.db, false));
    GF_CHECK_OK(SavePrints(store, digest, *listing));
    GF_CHECK_OK(transaction.Commit());
  }
  const uint64_t bytes = listing->Bytes();
  ++check.report.objects;
  check.report.files += listing->Files();
  check.report.bytes += bytes;
  if (check.done_bytes < before + bytes) check.Progress(before + bytes - check.done_bytes);
  if (damage.empty()) return CheckSidecar(check, digest);

  GF_TRY(const auto known, FindArtifact(store, digest));
  if (!known || known->lost) return Ok();  // collected or set aside by another process meanwhile
  FsckProblem& problem = check.Add(
      missing ? FsckKind::kMissingObject : FsckKind::kDamagedObject, digest,
      missing ? "the object of " + known->type + " " + known->maker->stage + "." + known->port + " is missing"
              : known->type + " " + known->maker->stage + "." + known->port + ": " + damage);
  GF_TRY(problem.dependents, Dependents(store, digest));
  if (check.Repairs() && compared.ok()) {
    GF_TRY(problem.repaired, QuarantineObject(store, digest, depth));
  }
  return Ok();
}

Status CheckUnregistered(Check& check, const std::string& digest) {
  StoreImpl& store = check.store;
  std::string damage;
  auto sidecar = ReadSidecar(ObjectFolder(store, digest), digest);
  if (sidecar.ok()) {
    GF_TRY(const TreeCheck compared,
           CheckTree(ObjectData(store, digest), sidecar->listing, CheckDepth::kContent));
    damage = compared.problem;
  } else {
    damage = sidecar.error().message;
  }
  GF_TRY(const auto known, FindArtifact(store, digest));
  if (known && !known->lost) return Ok();  // registered by another process meanwhile
  FsckProblem& problem =
      check.Add(FsckKind::kUnregisteredObject, digest,
                "store.db does not know this object" +
                    (damage.empty() ? std::string(", which is whole") : ", which is damaged: " + damage));
  if (!check.Repairs()) return Ok();
  GF_TRY(const auto alone, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kExclusive));
  if (!damage.empty()) {
    GF_CHECK_OK(SetObjectAside(store, digest));
    problem.repaired = true;
    return Ok();
  }
  std::vector<std::string> problems;
  GF_TRY(auto transaction, Transaction::Begin(*store.db, true));
  GF_TRY(const int64_t registered, RegisterFromSidecars(store, {digest}, &problems));
  GF_CHECK_OK(transaction.Commit());
  problem.repaired = registered == 1;
  return Ok();
}

// Artifacts that attempts or models name but that have no row at all.
Status CheckReferences(Check& check) {
  std::vector<std::string> digests;
  {
    GF_TRY(auto query,
           check.store.db->Prepare("SELECT digest FROM (SELECT digest FROM attempt_outputs UNION SELECT "
                                   "digest FROM models) WHERE digest NOT IN (SELECT digest FROM "
                                   "artifacts)"));
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      digests.push_back(query.Text(0));
    }
  }
  for (const std::string& digest : digests) {
    FsckProblem& problem = check.Add(FsckKind::kMissingObject, digest,
                                     "runs refer to this artifact, but it is not in the store");
    GF_TRY(problem.dependents, Dependents(check.store, digest));
    if (!check.Repairs()) continue;
    GF_TRY(auto transaction, Transaction::Begin(*check.store.db, true));
    GF_CHECK_OK(check.store.db->Do(
        "INSERT INTO artifacts (digest, type, is_tree, bytes, files, created, key, run, stage, port, lost) "
        "SELECT o.digest, o.type, 0, 0, 0, t.finished, t.key, t.run, t.stage, o.port, 1 FROM attempt_outputs "
        "o "
        "JOIN attempts t ON t.id = o.attempt WHERE o.digest = ? ORDER BY t.id LIMIT 1",
        digest));
    GF_CHECK_OK(transaction.Commit());
    problem.repaired = true;
  }
  return Ok();
}

}  // namespace

const char* FsckKindName(FsckKind kind) {
  switch (kind) {
    case FsckKind::kDatabase:
      return "database";
    case FsckKind::kDamagedObject:
      return "damaged-object";
    case FsckKind::kMissingObject:
      return "missing-object";
    case FsckKind::kUnregisteredObject:
      return "unregistered-object";
    case FsckKind::kDamagedSidecar:
      return "damaged-sidecar";
    case FsckKind::kLeftover:
      return "leftover";
    case FsckKind::kForeignFile:
      return "foreign-file";
  }
  return "unknown";
}

bool FsckProblem::harmless() const {
  return kind == FsckKind::kLeftover || kind == FsckKind::kUnregisteredObject;
}

bool FsckReport::clean() const {
  return std::all_of(problems.begin(), problems.end(),
                     [](const FsckProblem& problem) { return problem.repaired || problem.harmless(); });
}

Result<FsckReport> Store::Fsck(const FsckOptions& options) {
  if (options.repair) GF_CHECK_OK(impl_->NeedWritable());
  StoreImpl& store = *impl_;
  Check check{store, options, {}};
  GF_CHECK_OK(CheckDatabase(check));

  std::vector<std::string> registered, on_disk, foreign;
  std::set<std::string> known;
  {
    // Held alone, no commit is between its rename and its row.
    std::optional<SharedLock> alone;
    if (!store.frozen) {
      GF_TRY(auto lock, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kExclusive));
      alone.emplace(std::move(lock));
    }
    GF_TRY(on_disk, ObjectsOnDisk(store, &foreign));
    GF_TRY(auto query,
           store.db->Prepare("SELECT digest, bytes FROM artifacts WHERE lost = 0 ORDER BY digest"));
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      registered.push_back(query.Text(0));
      known.insert(registered.back());
      check.total_bytes += static_cast<uint64_t>(query.Int(1));
    }
  }
  for (const std::string& digest : registered) GF_CHECK_OK(CheckRegistered(check, digest));
  for (const std::string& digest : on_disk) {
    if (known.count(digest) == 0) GF_CHECK_OK(CheckUnregistered(check, digest));
  }
  GF_CHECK_OK(CheckReferences(check));
  for (const std::string& name : foreign) {
    check.Add(FsckKind::kForeignFile, (store.root / name).string(), "does not belong in the store");
  }
  if (!store.frozen) {
    GF_TRY(const auto dead, CleanStaging(store, check.Repairs()));
    for (const std::string& name : dead) {
      check
          .Add(FsckKind::kLeftover, (store.Staging() / name).string(),
               "staging folder of a process that is gone")
          .repaired = check.Repairs();
    }
  }
  return std::move(check.report);
}

}  // namespace genflow
