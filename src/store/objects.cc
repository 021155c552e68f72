#include "store/objects.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <tuple>

#include "base/files.h"
#include "store/attempts.h"

namespace genflow {

namespace fs = std::filesystem;

fs::path ObjectFolder(const StoreImpl& store, const std::string& digest) {
  return ObjectFolder(store.Objects(), digest);
}
fs::path ObjectData(const StoreImpl& store, const std::string& digest) {
  return ObjectFolder(store, digest) / "data";
}

Result<std::vector<std::string>> ObjectsOnDisk(const StoreImpl& store, std::vector<std::string>* foreign) {
  std::vector<std::string> digests;
  GF_TRY(const auto prefixes, FolderNames(store.Objects()));
  for (const std::string& prefix : prefixes) {
    const fs::path folder = store.Objects() / prefix;
    std::error_code ec;
    if (prefix.size() != 2 || !fs::is_directory(fs::symlink_status(folder, ec))) {
      if (foreign != nullptr) foreign->push_back("objects/" + prefix);
      continue;
    }
    GF_TRY(const auto names, FolderNames(folder));
    for (const std::string& name : names) {
      if (IsDigest(name) && name.compare(0, 2, prefix) == 0) {
        digests.push_back(name);
      } else if (foreign != nullptr) {
        foreign->push_back("objects/" + prefix + "/" + name);
      }
    }
  }
  std::sort(digests.begin(), digests.end());
  return digests;
}

Artifact RowToArtifact(const StoreImpl& store, const Statement& row, int first_column) {
  int column = first_column;
  Artifact artifact;
  artifact.digest = row.Text(column++);
  artifact.type = row.Text(column++);
  artifact.is_tree = row.Int(column++) != 0;
  artifact.bytes = static_cast<uint64_t>(row.Int(column++));
  artifact.files = static_cast<uint64_t>(row.Int(column++));
  artifact.created = row.Real(column++);
  artifact.lost = row.Int(column++) != 0;
  artifact.maker = store.SharedMaker(row.View(column), row.View(column + 1), row.View(column + 2));
  artifact.port = row.Text(column + 3);
  artifact.objects = store.objects_folder;
  return artifact;
}

Result<std::optional<Artifact>> FindArtifact(StoreImpl& store, const std::string& digest) {
  GF_TRY(auto query,
         store.db->Prepare("SELECT " GENFLOW_ARTIFACT_COLUMNS " FROM artifacts a WHERE digest = ?"));
  GF_TRY(const bool found, query.Bind(digest).Step());
  if (!found) return std::optional<Artifact>();
  return std::optional<Artifact>(RowToArtifact(store, query, 0));
}

Status SaveArtifact(StoreImpl& store, const Sidecar& sidecar, bool replace_listing) {
  Db& db = *store.db;
  GF_CHECK_OK(
      db.Do("INSERT INTO artifacts (digest, type, is_tree, bytes, files, created, key, run, stage, port) "
            "VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT(digest) DO UPDATE SET lost = 0",
            sidecar.digest, sidecar.type, sidecar.listing.is_tree, sidecar.listing.Bytes(),
            sidecar.listing.Files(), sidecar.created, sidecar.key, sidecar.run, sidecar.stage, sidecar.port));
  if (!replace_listing) return SavePrints(store, sidecar.digest, sidecar.listing);
  GF_CHECK_OK(db.Do("DELETE FROM artifact_files WHERE digest = ?", sidecar.digest));
  GF_TRY(auto insert,
         db.Prepare("INSERT INTO artifact_files (digest, path, kind, executable, size, sha256, target, "
                    "ino, mtime_ns, ctime_ns) VALUES (?,?,?,?,?,?,?,?,?,?)"));
  for (const TreeEntry& entry : sidecar.listing.entries) {
    const char kind[2] = {static_cast<char>(entry.kind), 0};
    GF_CHECK_OK(insert
                    .Bind(sidecar.digest, entry.path, kind, entry.executable, entry.print.size, entry.sha256,
                          entry.target, entry.print.ino, entry.print.mtime_ns, entry.print.ctime_ns)
                    .Run());
  }
  return Ok();
}

Status SavePrints(StoreImpl& store, const std::string& digest, const TreeListing& listing) {
  GF_TRY(auto update, store.db->Prepare("UPDATE artifact_files SET ino = ?, mtime_ns = ?, ctime_ns = ? "
                                        "WHERE digest = ? AND path = ?"));
  for (const TreeEntry& entry : listing.entries) {
    GF_CHECK_OK(
        update.Bind(entry.print.ino, entry.print.mtime_ns, entry.print.ctime_ns, digest, entry.path).Run());
  }
  return Ok();
}

Result<TreeListing> LoadListing(StoreImpl& store, const std::string& digest) {
  GF_TRY(auto query,
         store.db->Prepare("SELECT path, kind, executable, size, sha256, target, ino, mtime_ns, ctime_ns "
                           "FROM artifact_files WHERE digest = ? ORDER BY path"));
  query.Bind(digest);
  TreeListing listing;
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    TreeEntry entry;
    entry.path = query.Text(0);
    const std::string_view kind = query.View(1);
    entry.kind = kind == "d" ? EntryKind::kFolder : kind == "l" ? EntryKind::kLink : EntryKind::kFile;
    entry.executable = query.Int(2) != 0;
    entry.print.size = static_cast<uint64_t>(query.Int(3));
    entry.sha256 = query.Text(4);
    entry.target = query.Text(5);
    entry.print.ino = static_cast<uint64_t>(query.Int(6));
    entry.print.mtime_ns = query.Int(7);
    entry.print.ctime_ns = query.Int(8);
    listing.entries.push_back(std::move(entry));
  }
  if (listing.entries.empty()) {
    return MakeError(Code::kCorrupt, store.DbPath().string() + ": has no file list for artifact " + digest,
                     "`genflow fsck` tells more");
  }
  listing.is_tree = listing.entries.front().kind == EntryKind::kFolder;
  return listing;
}

Result<Sidecar> SidecarFromRows(StoreImpl& store, const std::string& digest) {
  GF_TRY(const auto artifact, FindArtifact(store, digest));
  if (!artifact) return MakeError(Code::kNotFound, "there is no artifact " + digest);
  Sidecar sidecar;
  sidecar.digest = digest;
  sidecar.type = artifact->type;
  sidecar.created = artifact->created;
  sidecar.key = artifact->maker->key;
  sidecar.run = artifact->maker->run;
  sidecar.stage = artifact->maker->stage;
  sidecar.port = artifact->port;
  GF_TRY(sidecar.listing, LoadListing(store, digest));
  GF_TRY(auto query,
         store.db->Prepare("SELECT o.port, o.digest, o.type, t.uses, t.attempt, t.status, r.pipeline "
                           "FROM attempts t JOIN runs r ON r.id = t.run JOIN attempt_outputs o "
                           "ON o.attempt = t.id WHERE t.run = ? AND t.stage = ? AND "
                           "t.status IN ('run', 'gated') ORDER BY t.id, o.seq"));
  query.Bind(sidecar.run, sidecar.stage);
  std::vector<OutputRow> rows;
  while (true) {
    GF_TRY(const bool row, query.Step());
    if (!row) break;
    rows.push_back({query.Text(0), query.Text(1), query.Text(2)});
    sidecar.uses = query.Text(3);
    sidecar.attempt = static_cast<int>(query.Int(4));
    sidecar.cached = query.View(5) == "run";
    sidecar.pipeline = query.Text(6);
  }
  sidecar.outputs = std::make_shared<const std::vector<OutputRow>>(std::move(rows));
  return sidecar;
}

Result<std::string> VerifyObject(StoreImpl& store, const std::string& digest) {
  GF_TRY(TreeListing listing, LoadListing(store, digest));
  GF_TRY(const TreeCheck check, CheckTree(ObjectData(store, digest), listing, CheckDepth::kStat));
  if (store.read_only) return check.problem;
  if (!check.problem.empty()) {
    GF_TRY(const bool quarantined, QuarantineObject(store, digest, CheckDepth::kStat));
    return quarantined ? check.problem : std::string();
  }
  if (check.refreshed) {
    GF_TRY(auto transaction, Transaction::Begin(*store.db, false));
    GF_CHECK_OK(SavePrints(store, digest, listing));
    GF_CHECK_OK(transaction.Commit());
  }
  return std::string();
}

Status SetObjectAside(StoreImpl& store, const std::string& digest) {
  GF_CHECK_OK(MakeDirectories(store.Quarantine()));
  const fs::path folder = ObjectFolder(store, digest);
  const fs::path aside = store.Quarantine() / (digest + "-" + TimeStamp() + "-" + RandomName(4));
  if (::rename(folder.c_str(), aside.c_str()) != 0 && errno != ENOENT)
    return ErrnoError(folder.string(), errno);
  return Ok();
}

Result<bool> QuarantineObject(StoreImpl& store, const std::string& digest, CheckDepth depth) {
  GF_CHECK_OK(store.db->FlushGroup());  // who holds the objects may wait for the database
  GF_TRY(const auto alone, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kExclusive));
  // Another process may have replaced it since it was found damaged.
  GF_TRY(TreeListing listing, LoadListing(store, digest));
  GF_TRY(const TreeCheck check, CheckTree(ObjectData(store, digest), listing, depth));
  if (check.problem.empty()) return false;
  GF_CHECK_OK(SetObjectAside(store, digest));
  GF_TRY(auto transaction, Transaction::Begin(*store.db, true));
  GF_CHECK_OK(store.db->Do("UPDATE artifacts SET lost = 1 WHERE digest = ?", digest));
  GF_CHECK_OK(store.db->Do("DELETE FROM cache WHERE key IN (SELECT key FROM cache_outputs WHERE digest = ?)",
                           digest));
  GF_CHECK_OK(transaction.Commit());
  return true;
}

Result<bool> InstallObject(StoreImpl& store, const fs::path& folder, const std::string& digest,
                           TreeListing& listing, std::set<fs::path>& changed) {
  const fs::path target = ObjectFolder(store, digest);
  bool installed = false;
  while (true) {
    if (::rename(folder.c_str(), target.c_str()) == 0) {
      installed = true;
      break;
    }
    if (errno == ENOENT && ::mkdir(target.parent_path().c_str(), 0777) == 0) {
      changed.insert(store.Objects());
      continue;
    }
    if (errno == ENOENT) return ErrnoError(folder.string(), errno);
    if (errno == EEXIST && fs::exists(target.parent_path()) && !fs::exists(target)) continue;
    if (errno != EEXIST && errno != ENOTEMPTY) return ErrnoError(target.string(), errno);
    TreeListing there = listing;
    GF_TRY(const auto known, FindArtifact(store, digest));
    if (known && !known->lost) {
      GF_TRY(there, LoadListing(store, digest));
    } else {
      for (TreeEntry& entry : there.entries) entry.print.ino = 0;  // its files are not ours: read them
    }
    GF_TRY(const TreeCheck check, CheckTree(target / "data", there, CheckDepth::kStat));
    if (check.problem.empty()) {
      listing = std::move(there);
      break;
    }
    GF_CHECK_OK(SetObjectAside(store, digest));
  }
  changed.insert(target.parent_path());
  return installed;
}

Result<int64_t> RegisterFromSidecars(StoreImpl& store, const std::vector<std::string>& digests,
                                     std::vector<std::string>* problems) {
  Db& db = *store.db;
  std::vector<Sidecar> sidecars;
  std::set<std::string> known;
  for (const std::string& digest : digests) {
    auto sidecar = ReadSidecar(ObjectFolder(store, digest), digest);
    std::error_code ec;
    if (!sidecar.ok() || !fs::exists(fs::symlink_status(ObjectData(store, digest), ec))) {
      problems->push_back("object " + digest + " was not registered: " +
                          (sidecar.ok() ? "its data is missing" : sidecar.error().message));
      continue;
    }
    GF_CHECK_OK(SaveArtifact(store, *sidecar, true));
    known.insert(digest);
    sidecars.push_back(std::move(*sidecar));
  }
  // Nothing but their times tells in which order they were made; runs that the store knows came after them.
  std::sort(sidecars.begin(), sidecars.end(), [](const Sidecar& a, const Sidecar& b) {
    return std::tie(a.created, a.run, a.digest) < std::tie(b.created, b.run, b.digest);
  });
  for (auto sidecar = sidecars.rbegin(); sidecar != sidecars.rend(); ++sidecar) {
    if (sidecar->run.empty()) continue;
    GF_CHECK_OK(db.Do(
        "INSERT INTO runs (id, pipeline, file, params, argv, version, pid, host, started, finished, status, "
        "seq) VALUES (?, ?, '', '{}', '[]', '', 0, '', ?, ?, 'recovered', (SELECT ifnull(min(seq), 1) - 1 "
        "FROM "
        "runs)) ON CONFLICT(id) DO UPDATE SET started = min(started, excluded.started) WHERE status = "
        "'recovered'",
        sidecar->run, sidecar->pipeline, sidecar->created, sidecar->created));
  }
  std::map<std::tuple<std::string, std::string, int>, int64_t> attempts;
  for (const Sidecar& sidecar : sidecars) {
    if (sidecar.run.empty()) continue;
    const auto id = std::make_tuple(sidecar.run, sidecar.stage, sidecar.attempt);
    if (attempts.count(id) != 0) continue;
    GF_TRY(const auto exists, db.Number("SELECT id FROM attempts WHERE run = ? AND stage = ? AND attempt = ?",
                                        sidecar.run, sidecar.stage, sidecar.attempt));
    if (exists) {
      attempts[id] = *exists;
      continue;
    }
    std::string log = LogName(sidecar.run, sidecar.stage, sidecar.attempt);
    if (std::error_code ec; !fs::exists(store.root / log, ec)) log.clear();
    GF_CHECK_OK(
        db.Do("INSERT INTO attempts (run, stage, uses, attempt, status, key, components, started, finished, "
              "log) VALUES (?, ?, ?, ?, ?, ?, '{}', ?, ?, ?)",
              sidecar.run, sidecar.stage, sidecar.uses, sidecar.attempt, sidecar.cached ? "run" : "gated",
              sidecar.key, sidecar.created, sidecar.created, log));
    const int64_t attempt = db.LastRowId();
    attempts[id] = attempt;
    GF_CHECK_OK(InsertOutputs(db, attempt, *sidecar.outputs));
    const bool whole = std::all_of(sidecar.outputs->begin(), sidecar.outputs->end(),
                                   [&](const OutputRow& row) { return known.count(row.digest) != 0; });
    if (!whole || !sidecar.cached || sidecar.key.empty()) continue;
    GF_CHECK_OK(
        db.Do("INSERT INTO cache (key, attempt, run, stage, summary, seconds, created) "
              "VALUES (?, ?, ?, ?, '', 0, ?) ON CONFLICT(key) DO NOTHING",
              sidecar.key, attempt, sidecar.run, sidecar.stage, sidecar.created));
    if (db.Changes() == 0) continue;
    GF_CHECK_OK(InsertCachedOutputs(db, sidecar.key, *sidecar.outputs));
  }
  return static_cast<int64_t>(sidecars.size());
}

}  // namespace genflow
