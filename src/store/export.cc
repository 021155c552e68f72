#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <set>

#include "base/files.h"
#include "base/sha256.h"
#include "store/archive.h"
#include "store/impl.h"
#include "store/store.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

constexpr size_t kReadBytes = 1 << 20;

// The bytes of a file into the archive, which has its header already; they must be those recorded.
Status WriteFile(const fs::path& path, uint64_t size, const std::string& sha256, TarWriter& tar) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  std::string buffer(kReadBytes, '\0');
  Sha256 hash;
  uint64_t done = 0;
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(path.string(), errno);
    if (n == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
    hash.Update(bytes);
    done += bytes.size();
    if (done > size) break;
    GF_CHECK_OK(tar.Write(bytes));
  }
  if (done != size || hash.Finish() != sha256)
    return MakeError(Code::kCorrupt, path.string() + ": its content has changed since it was recorded",
                     "`genflow fsck` tells more");
  return Ok();
}

Status WriteObject(const StoreImpl& store, const Sidecar& object, int64_t mtime, TarWriter& tar) {
  for (const TreeEntry& entry : object.listing.entries) {
    TarEntry header;
    header.name = ObjectEntryName(object.digest, entry);
    header.mtime = mtime;
    if (entry.kind == EntryKind::kFolder) {
      header.kind = TarEntry::Kind::kFolder;
    } else if (entry.kind == EntryKind::kLink) {
      header.kind = TarEntry::Kind::kLink;
      header.target = entry.target;
    } else {
      header.size = entry.print.size;
      header.executable = entry.executable;
    }
    GF_CHECK_OK(tar.Begin(header));
    if (entry.kind == EntryKind::kFile) {
      GF_CHECK_OK(
          WriteFile(EntryPath(ObjectData(store, object.digest), entry), entry.print.size, entry.sha256, tar));
    }
  }
  return Ok();
}

class Collector {
 public:
  Collector(Store& store, StoreImpl& impl) : store_(store), impl_(impl) {}

  Status AddRun(const std::string& id) {
    ArchivedRun out;
    GF_TRY(out.run, store_.GetRun(id));
    if (out.run.status == RunStatus::kRunning)
      return InvalidError("run " + id + " is still running", "wait for it to finish, or stop it");
    GF_TRY(out.attempts, store_.ListAttempts(id));
    std::map<std::string, std::string> measured;  // stage -> the run that has its metrics
    for (AttemptInfo& attempt : out.attempts) {
      for (const InputUse& input : attempt.inputs) digests_.insert(input.digest);
      for (const PortArtifact& output : attempt.outputs) digests_.insert(output.artifact.digest);
      const bool cached = attempt.status == AttemptStatus::kCached && !attempt.source_run.empty();
      measured[attempt.stage] = cached ? attempt.source_run : id;
      if (!attempt.key.empty()) {
        GF_TRY(attempt.key_components_json, store_.KeyComponents(attempt.key));
        keys_.insert(attempt.key);
      }
      GF_CHECK_OK(AddLog(attempt, &out));
    }
    for (const auto& [stage, run] : measured) {
      GF_TRY(auto points, store_.Metrics(run, stage));
      if (points.empty() && run != id) {
        GF_TRY(points, store_.Metrics(id, stage));
      }
      for (auto& point : points) out.metrics.push_back({stage, std::move(point)});
    }
    archive_.runs.push_back(std::move(out));
    return Ok();
  }

  Result<RunArchive> Take() {
    for (const std::string& digest : digests_) GF_CHECK_OK(AddObject(digest));
    for (const std::string& key : keys_) GF_CHECK_OK(AddKey(key));
    return std::move(archive_);
  }

 private:
  Status AddLog(const AttemptInfo& attempt, ArchivedRun* out) {
    std::error_code ec;
    const fs::path path = impl_.root / LogName(attempt.run, attempt.stage, attempt.attempt);
    if (attempt.log.empty() || !fs::is_regular_file(path, ec)) return Ok();
    GF_TRY(const auto sha256, Sha256File(path));
    out->logs.push_back({attempt.stage, attempt.attempt, fs::file_size(path, ec), sha256});
    return Ok();
  }

  Status AddObject(const std::string& digest) {
    GF_TRY(const auto artifact, FindArtifact(impl_, digest));
    if (!artifact) return Ok();  // an input that no kept run made and gc has taken
    if (artifact->lost) {
      archive_.lost.push_back(*artifact);
      return Ok();
    }
    // Only looked at: setting it aside would wait for the lock that is held.
    GF_TRY(TreeListing listing, LoadListing(impl_, digest));
    GF_TRY(const TreeCheck check, CheckTree(ObjectData(impl_, digest), listing, CheckDepth::kStat));
    if (const std::string& problem = check.problem; !problem.empty()) {
      return MakeError(Code::kCorrupt,
                       "the stored " + artifact->type + " " + digest.substr(0, 12) + " of " +
                           artifact->maker->stage + "." + artifact->port + " is damaged: " + problem,
                       "`genflow fsck` tells more; run its stage again");
    }
    auto sidecar = ReadSidecar(ObjectFolder(impl_, digest), digest);
    if (!sidecar.ok()) sidecar = SidecarFromRows(impl_, digest);
    if (!sidecar.ok()) return sidecar.error();
    archive_.objects.push_back(*std::move(sidecar));
    objects_.insert(digest);
    return Ok();
  }

  Status AddKey(const std::string& key) {
    ArchivedKey out;
    out.key = key;
    {
      GF_TRY(auto query,
             impl_.db->Prepare("SELECT run, stage, summary, seconds, created FROM cache WHERE key = ?"));
      GF_TRY(const bool found, query.Bind(key).Step());
      if (!found) return Ok();
      out.run = query.Text(0);
      out.stage = query.Text(1);
      out.summary = query.Text(2);
      out.seconds = query.Real(3);
      out.created = query.Real(4);
    }
    GF_TRY(auto query,
           impl_.db->Prepare("SELECT port, digest, type FROM cache_outputs WHERE key = ? ORDER BY seq"));
    query.Bind(key);
    while (true) {
      GF_TRY(const bool row, query.Step());
      if (!row) break;
      out.outputs.push_back({query.Text(0), query.Text(1), query.Text(2)});
      if (objects_.count(out.outputs.back().digest) == 0) return Ok();
    }
    archive_.keys.push_back(std::move(out));
    return Ok();
  }

  Store& store_;
  StoreImpl& impl_;
  RunArchive archive_;
  std::set<std::string> digests_, keys_, objects_;
};

}  // namespace

Result<ExportReport> Store::ExportRuns(const std::vector<std::string>& runs, int fd) {
  // Held shared, no object is taken away meanwhile.
  std::optional<SharedLock> shared;
  if (!impl_->frozen) {
    GF_TRY(auto lock, SharedLock::Wait(impl_->ObjectsLock(), SharedLock::Mode::kShared));
    shared.emplace(std::move(lock));
  }
  Collector collector(*this, *impl_);
  std::map<int64_t, std::string> in_order;  // whoever imports them gives them places in this order
  for (const std::string& id : runs) {
    GF_TRY(const auto place, impl_->db->Number("SELECT seq FROM runs WHERE id = ?", id));
    if (!place) return GetRun(id).error();
    in_order[*place] = id;
  }
  for (const auto& [place, id] : in_order) GF_CHECK_OK(collector.AddRun(id));
  GF_TRY(const RunArchive archive, collector.Take());

  ExportReport report;
  double newest = 0;
  for (const ArchivedRun& run : archive.runs) {
    report.runs.push_back(run.run.id);
    newest = std::max(newest, run.run.finished);
  }
  const auto mtime = static_cast<int64_t>(newest);
  TarWriter tar(fd);
  const auto header = [&](std::string name) {
    TarEntry entry;
    entry.name = std::move(name);
    entry.mtime = mtime;
    return entry;
  };
  const std::string manifest = ArchiveToJson(archive);
  GF_CHECK_OK(tar.Add(header(kManifestName), manifest));
  GF_CHECK_OK(tar.Add(header(kManifestSumName), Sha256Hex(manifest) + "  " + kManifestName + "\n"));
  for (const Sidecar& object : archive.objects) {
    GF_CHECK_OK(WriteObject(*impl_, object, mtime, tar));
    ++report.objects;
    report.bytes += object.listing.Bytes();
  }
  for (const ArchivedRun& run : archive.runs) {
    for (const ArchivedLog& log : run.logs) {
      TarEntry entry = header(LogName(run.run.id, log.stage, log.attempt));
      entry.size = log.bytes;
      GF_CHECK_OK(tar.Begin(entry));
      GF_CHECK_OK(WriteFile(impl_->root / entry.name, log.bytes, log.sha256, tar));
    }
  }
  GF_CHECK_OK(tar.Finish());
  for (const Artifact& lost : archive.lost) report.lost.push_back(lost.digest);
  return report;
}

}  // namespace genflow
