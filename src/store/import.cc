#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "base/sha256.h"
#include "store/archive.h"
#include "store/attempts.h"
#include "store/hashing.h"
#include "store/impl.h"
#include "store/staging_impl.h"
#include "store/store.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kMaxManifestBytes = 1ull << 30;
constexpr char kExportAgain[] = "export the runs again";

Error Damaged(const std::string& why) {
  return MakeError(Code::kCorrupt, "the archive is damaged: " + why, kExportAgain);
}

std::string ToJsonText(const std::vector<std::string>& texts) {
  return nlohmann::json(texts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Reads the archive into a staging folder: all of it is compared with the manifest, what the store lacks is
// kept.
class Unpacking {
 public:
  Unpacking(StoreImpl& store, StagingImpl& staging, int fd) : store_(store), staging_(staging), tar_(fd) {}

  Status Run() {
    GF_CHECK_OK(ReadManifest());
    GF_CHECK_OK(FindWhatIsMissing());
    for (const Sidecar& object : archive_.objects) GF_CHECK_OK(ReadObject(object));
    for (const ArchivedRun& run : archive_.runs) {
      for (const ArchivedLog& log : run.logs) GF_CHECK_OK(ReadLog(run, log));
    }
    GF_TRY(const auto more, tar_.Next());
    if (more) return Damaged("holds '" + more->name + "', which its manifest does not name");
    for (Sidecar& object : archive_.objects) {
      if (missing_.count(object.digest) != 0) GF_CHECK_OK(Seal(object));
    }
    return SyncPaths(to_sync_);
  }

  RunArchive& archive() { return archive_; }
  bool IsMissing(const std::string& digest) const { return missing_.count(digest) != 0; }
  bool IsNew(const std::string& run) const { return new_runs_.count(run) != 0; }
  fs::path Folder(const std::string& digest) const { return staging_.ObjectFolder(digest); }
  fs::path LogFolder(const std::string& run) const { return staging_.scratch / "logs" / SafeName(run); }

 private:
  Result<TarEntry> Expect(const std::string& name, TarEntry::Kind kind) {
    GF_TRY(auto entry, tar_.Next());
    if (!entry) return Damaged("'" + name + "' is missing");
    if (entry->name != name || entry->kind != kind)
      return Damaged("'" + entry->name + "' stands where '" + name + "' must be");
    return *std::move(entry);
  }

  Status ReadManifest() {
    GF_TRY(const auto first, tar_.Next());
    if (!first || first->name != kManifestName || first->kind != TarEntry::Kind::kFile) {
      return InvalidError(
          "this is no archive of genflow's runs: it does not begin with " + std::string(kManifestName),
          "`genflow runs export` makes one");
    }
    GF_TRY(const std::string manifest, tar_.ReadAll(kMaxManifestBytes));
    GF_TRY(const auto sum_entry, Expect(kManifestSumName, TarEntry::Kind::kFile));
    GF_TRY(const std::string sum, tar_.ReadAll(1 << 10));
    if (sum.substr(0, 64) != Sha256Hex(manifest))
      return Damaged("the manifest is not the one that was written");
    GF_TRY(archive_, ArchiveFromJson(manifest));
    return Ok();
  }

  Status FindWhatIsMissing() {
    for (const ArchivedRun& run : archive_.runs) {
      GF_TRY(const auto known, store_.db->Number("SELECT 1 FROM runs WHERE id = ?", run.run.id));
      if (!known) new_runs_.insert(run.run.id);
    }
    for (const Sidecar& object : archive_.objects) {
      GF_TRY(const auto known, FindArtifact(store_, object.digest));
      if (!known || known->lost) missing_.insert(object.digest);
    }
    return Ok();
  }

  // The bytes of the entry, which must be those listed; into `target` unless it is empty.
  Status ReadFileTo(const TarEntry& header, uint64_t size, const std::string& sha256,
                    const fs::path& target) {
    if (header.size != size) return Damaged("'" + header.name + "' has another size");
    Fd fd;
    if (!target.empty()) {
      fd = Fd(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                     header.executable ? 0755 : 0644));
      if (!fd.valid()) return ErrnoError(target.string(), errno);
    }
    Sha256 hash;
    GF_CHECK_OK(tar_.Read([&](std::string_view bytes) -> Status {
      hash.Update(bytes);
      return fd.valid() ? WriteAll(fd.get(), target, bytes) : Ok();
    }));
    if (hash.Finish() != sha256)
      return Damaged("'" + header.name + "' has other content than its manifest says");
    return Ok();
  }

  Status ReadObject(const Sidecar& object) {
    const bool keep = missing_.count(object.digest) != 0;
    const fs::path data = Folder(object.digest) / "data";
    if (keep) GF_CHECK_OK(MakeDirectories(data.parent_path()));
    for (const TreeEntry& entry : object.listing.entries) {
      const auto kind = entry.kind == EntryKind::kFile     ? TarEntry::Kind::kFile
                        : entry.kind == EntryKind::kFolder ? TarEntry::Kind::kFolder
                                                           : TarEntry::Kind::kLink;
      GF_TRY(TarEntry header, Expect(ObjectEntryName(object.digest, entry), kind));
      const fs::path path = EntryPath(data, entry);
      if (entry.kind == EntryKind::kFile) {
        header.executable = entry.executable;
        GF_CHECK_OK(ReadFileTo(header, entry.print.size, entry.sha256, keep ? path : fs::path()));
      } else if (entry.kind == EntryKind::kFolder) {
        if (keep && ::mkdir(path.c_str(), 0755) != 0) return ErrnoError(path.string(), errno);
      } else {
        if (header.target != entry.target) return Damaged("'" + header.name + "' links to another target");
        if (keep && ::symlink(entry.target.c_str(), path.c_str()) != 0)
          return ErrnoError(path.string(), errno);
      }
    }
    return Ok();
  }

  Status ReadLog(const ArchivedRun& run, const ArchivedLog& log) {
    const std::string name = LogName(run.run.id, log.stage, log.attempt);
    GF_TRY(const TarEntry header, Expect(name, TarEntry::Kind::kFile));
    fs::path target;
    if (IsNew(run.run.id)) {
      target = LogFolder(run.run.id) / fs::path(name).filename();
      GF_CHECK_OK(MakeDirectories(target.parent_path()));
    }
    return ReadFileTo(header, log.bytes, log.sha256, target);
  }

  // What lies in the staging folder becomes an object: hashed again from the disk, read-only, with its
  // sidecar.
  Status Seal(Sidecar& object) {
    const fs::path folder = Folder(object.digest);
    GF_TRY(TreeListing listing, ListTree(folder / "data"));
    GF_CHECK_OK(HashListing(folder / "data", listing, HashMode::kSeal));
    if (listing.Digest() != object.digest)
      return Damaged("an object is not what its digest says: " + object.digest);
    object.listing = std::move(listing);
    const fs::path sidecar = folder / "object.json";
    const Fd fd(::open(sidecar.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
    if (!fd.valid()) return ErrnoError(sidecar.string(), errno);
    GF_CHECK_OK(WriteAll(fd.get(), sidecar, SidecarToJson(object)));
    AppendSyncPaths(folder / "data", object.listing, to_sync_);
    to_sync_.push_back(sidecar);
    to_sync_.push_back(folder);
    return Ok();
  }

  StoreImpl& store_;
  StagingImpl& staging_;
  TarReader tar_;
  RunArchive archive_;
  std::set<std::string> missing_, new_runs_;
  std::vector<fs::path> to_sync_;
};

// The rows of a run; the caller has begun a transaction.
Status SaveRun(StoreImpl& store, const ArchivedRun& archived) {
  Db& db = *store.db;
  const RunInfo& run = archived.run;
  GF_CHECK_OK(
      db.Do("INSERT INTO runs (id, pipeline, file, params, argv, version, stages, origins, pid, host, "
            "started, finished, status, seq) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?, " GENFLOW_NEXT_SEQ ")",
            run.id, run.pipeline, run.file, run.params_json, ToJsonText(run.argv), run.version,
            ToJsonText(run.stages), run.origins_json, run.pid, run.host, run.started, run.finished,
            RunStatusName(run.status)));
  for (const std::string& tag : run.tags) {
    GF_TRY(const std::string hidden, FindRunHiddenBy(store, tag));
    if (tag.empty() || !hidden.empty()) continue;
    GF_CHECK_OK(db.Do("INSERT INTO tags (run, tag) VALUES (?,?) ON CONFLICT DO NOTHING", run.id, tag));
  }
  std::set<std::pair<std::string, int>> logs;
  for (const ArchivedLog& log : archived.logs) logs.emplace(log.stage, log.attempt);
  for (const AttemptInfo& a : archived.attempts) {
    const bool has_log = logs.count({a.stage, a.attempt}) != 0;
    GF_CHECK_OK(
        db.Do("INSERT INTO attempts (run, stage, uses, attempt, status, key, components, started, finished, "
              "exit_code, "
              "exit_signal, error_code, error_message, error_hint, summary, peak_rss, cpu, log, source_run, "
              "source_seconds, retry_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
              run.id, a.stage, a.uses, a.attempt, AttemptStatusName(a.status), a.key, a.key_components_json,
              a.started, a.finished, a.end.exit_code, a.end.exit_signal, a.end.error_code,
              a.end.error_message, a.end.error_hint, a.end.summary, a.end.peak_rss_bytes, a.end.cpu_seconds,
              has_log ? LogName(run.id, a.stage, a.attempt) : std::string(), a.source_run, a.source_seconds,
              a.end.retry_at));
    const int64_t attempt = db.LastRowId();
    GF_CHECK_OK(InsertInputs(db, attempt, a.inputs));
    GF_CHECK_OK(InsertOutputs(db, attempt, RowsOf(a.outputs)));
  }
  for (const StageMetric& metric : archived.metrics) {
    GF_CHECK_OK(db.Do(
        "INSERT INTO metrics (run, stage, name, step, value, time) VALUES (?,?,?,?,?,?) "
        "ON CONFLICT DO NOTHING",
        run.id, metric.stage, metric.point.name, metric.point.step, metric.point.value, metric.point.time));
  }
  return Ok();
}

Status SaveKey(Db& db, const ArchivedKey& key) {
  GF_CHECK_OK(
      db.Do("INSERT INTO cache (key, attempt, run, stage, summary, seconds, created) SELECT ?1, "
            "ifnull(max(id), 0), "
            "?2, ?3, ?4, ?5, ?6 FROM attempts WHERE key = ?1 ON CONFLICT(key) DO NOTHING",
            key.key, key.run, key.stage, key.summary, key.seconds, key.created));
  if (db.Changes() == 0) return Ok();
  return InsertCachedOutputs(db, key.key, key.outputs);
}

Status SaveLost(Db& db, const Artifact& lost) {
  return db.Do(
      "INSERT INTO artifacts (digest, type, is_tree, bytes, files, created, key, run, stage, port, lost) "
      "VALUES (?,?,0,0,0,?,?,?,?,?,1) ON CONFLICT(digest) DO NOTHING",
      lost.digest, lost.type, lost.created, lost.maker->key, lost.maker->run, lost.maker->stage, lost.port);
}

}  // namespace

Result<ImportReport> Store::ImportRuns(int fd) {
  GF_CHECK_OK(impl_->NeedWritable());
  StoreImpl& store = *impl_;
  GF_TRY(Staging staging, Stage("import"));
  Unpacking unpacking(store, *staging.impl_, fd);
  GF_CHECK_OK(unpacking.Run());
  RunArchive& archive = unpacking.archive();

  ImportReport report;
  for (const ArchivedRun& run : archive.runs)
    (unpacking.IsNew(run.run.id) ? report.runs : report.known_runs).push_back(run.run.id);
  for (const Sidecar& object : archive.objects) {
    if (!unpacking.IsMissing(object.digest)) {
      ++report.known_objects;
      continue;
    }
    ++report.objects;
    report.bytes += object.listing.Bytes();
  }
  if (report.NothingToDo()) return report;

  // As a commit does: objects first, synced, then the rows of all in one durable transaction.
  GF_TRY(const auto shared, SharedLock::Wait(store.ObjectsLock(), SharedLock::Mode::kShared));
  std::set<fs::path> changed;
  std::set<std::string> installed;
  for (Sidecar& object : archive.objects) {
    if (!unpacking.IsMissing(object.digest)) {
      GF_TRY(const auto known, FindArtifact(store, object.digest));
      if (known && !known->lost) continue;
      return MakeError(Code::kBusy, "an object that was there was taken away meanwhile", "import again");
    }
    GF_TRY(const bool ours,
           InstallObject(store, unpacking.Folder(object.digest), object.digest, object.listing, changed));
    if (ours) installed.insert(object.digest);
  }
  for (const std::string& run : report.runs) {
    const fs::path from = unpacking.LogFolder(run), to = store.Logs() / SafeName(run);
    if (std::error_code ec; !fs::exists(from, ec)) continue;
    GF_CHECK_OK(RemoveTree(to));  // what is left of a removed run
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoError(to.string(), errno);
  }
  GF_CHECK_OK(SyncPaths({changed.begin(), changed.end()}));
  GF_TRY(auto transaction, Transaction::Begin(*store.db, true));
  for (const Sidecar& object : archive.objects) {
    if (!unpacking.IsMissing(object.digest)) continue;
    GF_TRY(const auto known, FindArtifact(store, object.digest));
    GF_CHECK_OK(SaveArtifact(store, object, installed.count(object.digest) != 0 || !known));
  }
  for (const Artifact& lost : archive.lost) GF_CHECK_OK(SaveLost(*store.db, lost));
  for (const ArchivedRun& run : archive.runs) {
    if (!unpacking.IsNew(run.run.id)) continue;
    GF_TRY(const auto known, store.db->Number("SELECT 1 FROM runs WHERE id = ?", run.run.id));
    if (known)
      return MakeError(Code::kBusy, "run " + run.run.id + " was imported meanwhile", "nothing more to do");
    GF_CHECK_OK(SaveRun(store, run));
  }
  for (const ArchivedKey& key : archive.keys) GF_CHECK_OK(SaveKey(*store.db, key));
  GF_CHECK_OK(transaction.Commit());
  return report;
}

}  // namespace genflow
