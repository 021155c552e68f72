#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "store/hashing.h"
#include "store/impl.h"
#include "store/store.h"
#include "store/tree.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

// A file written within this time before it was read may be written again with the same times: its digest
// is not believed (git's "racily clean").
constexpr int64_t kRacyNs = 2'000'000'000;

struct Wanted {
  fs::path path;
  uint64_t dev = 0;
  Fingerprint print;
  std::string digest;
  int64_t checked_ns = 0;  // when it was hashed now
};

Status LoadKnown(Db& db, std::vector<Wanted>& files) {
  GF_TRY(auto view, Transaction::BeginRead(db));
  {
    GF_TRY(auto query, db.Prepare("SELECT size, mtime_ns, ctime_ns, digest, checked_ns FROM file_digests "
                                  "WHERE dev = ? AND ino = ?"));
    for (Wanted& file : files) {
      GF_TRY(const bool found, query.Bind(file.dev, file.print.ino).Step());
      if (!found) continue;
      const bool same = static_cast<uint64_t>(query.Int(0)) == file.print.size &&
                        query.Int(1) == file.print.mtime_ns && query.Int(2) == file.print.ctime_ns;
      const int64_t changed = std::max(file.print.mtime_ns, file.print.ctime_ns);
      if (same && query.Int(4) - changed >= kRacyNs) file.digest = query.Text(3);
    }
  }
  return view.Commit();
}

// Nothing is lost where another process has the database for a while: the files are read again.
Status SaveKnown(Db& db, const std::vector<Wanted*>& files) {
  GF_TRY(auto transaction, Transaction::Begin(db, false));
  {
    GF_TRY(auto insert,
           db.Prepare("INSERT OR REPLACE INTO file_digests (dev, ino, size, mtime_ns, ctime_ns, digest, "
                      "checked_ns) VALUES (?,?,?,?,?,?,?)"));
    for (const Wanted* file : files) {
      GF_CHECK_OK(insert
                      .Bind(file->dev, file->print.ino, file->print.size, file->print.mtime_ns,
                            file->print.ctime_ns, file->digest, file->checked_ns)
                      .Run());
    }
  }
  return transaction.Commit();
}

// Fills in the digests of regular files that have been stat'ed.
Status DigestWanted(StoreImpl& store, std::vector<Wanted>& files) {
  GF_CHECK_OK(LoadKnown(*store.db, files));
  std::vector<Wanted*> unknown;
  uint64_t bytes = 0;
  for (Wanted& file : files) {
    if (!file.digest.empty()) continue;
    unknown.push_back(&file);
    bytes += file.print.size;
  }
  if (unknown.empty()) return Ok();
  GF_CHECK_OK(ParallelFor(unknown.size(), HashThreads(unknown.size(), bytes), [&](size_t i) -> Status {
    Wanted& file = *unknown[i];
    // The time before reading: a write after it, even during the read, is later than it.
    file.checked_ns = static_cast<int64_t>(Now() * 1e9);
    GF_TRY(HashedFile hashed, HashFile(file.path, HashMode::kRead));
    file.dev = hashed.info.st_dev;
    file.print = Fingerprint::Of(hashed.info);
    file.digest = std::move(hashed.sha256);
    return Ok();
  }));
  if (store.read_only) return Ok();
  // The digests are right whether or not they can be remembered (a full disk, a busy database).
  (void)SaveKnown(*store.db, unknown);
  return Ok();
}

Result<Wanted> StatFile(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError(path.string(), errno);
  if (!S_ISREG(info.st_mode)) {
    return InvalidError(path.string() +
                        (S_ISDIR(info.st_mode) ? ": is a folder, not a file" : ": not a regular file"));
  }
  Wanted file;
  file.path = path;
  file.dev = info.st_dev;
  file.print = Fingerprint::Of(info);
  return file;
}

}  // namespace

Result<std::string> Store::DigestFile(const fs::path& path) {
  GF_TRY(const auto digests, DigestFiles({path}));
  return digests[0].digest;
}

Result<std::vector<FileDigest>> Store::DigestFiles(const std::vector<fs::path>& paths) {
  std::vector<Wanted> files;
  files.reserve(paths.size());
  for (const fs::path& path : paths) {
    GF_TRY(Wanted file, StatFile(path));
    files.push_back(std::move(file));
  }
  GF_CHECK_OK(DigestWanted(*impl_, files));
  std::vector<FileDigest> digests;
  digests.reserve(files.size());
  for (Wanted& file : files)
    digests.push_back({std::move(file.path), std::move(file.digest), file.print.size});
  return digests;
}

Result<std::string> Store::DigestTree(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError(path.string(), errno);
  if (!S_ISDIR(info.st_mode)) return DigestFile(path);
  // The folder itself may be named through a link; links inside are part of the tree.
  std::error_code ec;
  const fs::path root = fs::canonical(path, ec);
  if (ec) return ErrnoError(path.string(), ec.value());
  GF_TRY(TreeListing listing, ListTree(root));
  std::vector<Wanted> files;
  for (const TreeEntry& entry : listing.entries) {
    if (entry.kind != EntryKind::kFile) continue;
    GF_TRY(Wanted file, StatFile(EntryPath(root, entry)));
    files.push_back(std::move(file));
  }
  GF_CHECK_OK(DigestWanted(*impl_, files));
  size_t next = 0;
  for (TreeEntry& entry : listing.entries) {
    if (entry.kind == EntryKind::kFile) entry.sha256 = std::move(files[next++].digest);
  }
  return listing.Digest();
}

}  // namespace genflow
