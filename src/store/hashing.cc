#include "store/hashing.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "store/copy.h"

namespace genflow {

namespace fs = std::filesystem;

Status ParallelFor(size_t count, size_t threads, const std::function<Status(size_t)>& work) {
  if (threads <= 1 || count <= 1) {
    for (size_t i = 0; i < count; ++i) GF_CHECK_OK(work(i));
    return Ok();
  }
  std::atomic<size_t> next{0};
  std::mutex mutex;
  size_t failed_at = count;
  Status failure;
  auto loop = [&] {
    while (true) {
      const size_t i = next.fetch_add(1);
      if (i >= count) return;
      if (Status status = work(i); !status.ok()) {
        next.store(count);
        const std::lock_guard<std::mutex> guard(mutex);
        if (i < failed_at) {
          failed_at = i;
          failure = std::move(status);
        }
        return;
      }
    }
  };
  std::vector<std::thread> pool;
  try {
    for (size_t t = 1; t < std::min(threads, count); ++t) pool.emplace_back(loop);
  } catch (const std::system_error&) {  // no more threads to be had: those that run do the work
  }
  loop();
  for (std::thread& thread : pool) thread.join();
  return failure;
}

size_t HashThreads(size_t files, uint64_t bytes) {
  constexpr uint64_t kInlineBytes = 1 << 20;
  if (files < 2 || (files < 16 && bytes < kInlineBytes)) return 1;
  // More threads than cores: syncing waits for the disk.
  return std::clamp<size_t>(std::thread::hardware_concurrency(), 4, 16);
}

Result<HashedFile> HashFile(const fs::path& path, HashMode mode,
                            const std::function<void(uint64_t)>& progress) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  struct stat before {};
  if (::fstat(fd.get(), &before) != 0) return ErrnoError(path.string(), errno);
  if (!S_ISREG(before.st_mode)) return InvalidError(path.string() + ": not a regular file");
  if (mode == HashMode::kSeal) {
    if (::fchmod(fd.get(), (before.st_mode & S_IXUSR) != 0 ? 0555 : 0444) != 0) {
      return ErrnoError(path.string() + ": chmod", errno);
    }
    if (::fstat(fd.get(), &before) != 0) return ErrnoError(path.string(), errno);
    // The disk writes while we hash; the sync that counts comes later.
    if (before.st_size > 0) ::sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
  }
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 hash;
  if (!hash.UpdateFrom(fd.get(), static_cast<uint64_t>(before.st_size), progress))
    return ErrnoError(path.string(), errno);
  HashedFile hashed;
  if (::fstat(fd.get(), &hashed.info) != 0) return ErrnoError(path.string(), errno);
  if (!(Fingerprint::Of(before) == Fingerprint::Of(hashed.info))) {
    return MakeError(Code::kIo, path.string() + ": changed while it was being read",
                     "make sure that no process still writes to it");
  }
  hashed.sha256 = hash.Finish();
  return hashed;
}

Status HashListing(const fs::path& root, TreeListing& listing, HashMode mode) {
  std::vector<TreeEntry*> files;
  for (TreeEntry& entry : listing.entries) {
    if (entry.kind == EntryKind::kFile) files.push_back(&entry);
  }
  const size_t threads = HashThreads(files.size(), listing.Bytes());
  GF_CHECK_OK(ParallelFor(files.size(), threads, [&](size_t i) -> Status {
    const fs::path path = EntryPath(root, *files[i]);
    if (mode == HashMode::kSeal) GF_CHECK_OK(MakeUnshared(path));
    GF_TRY(HashedFile hashed, HashFile(path, mode));
    files[i]->sha256 = std::move(hashed.sha256);
    files[i]->print = Fingerprint::Of(hashed.info);
    return Ok();
  }));
  if (mode == HashMode::kRead) return Ok();
  // Folders from the deepest up; their fingerprints last, when nothing in them changes any more.
  for (auto entry = listing.entries.rbegin(); entry != listing.entries.rend(); ++entry) {
    if (entry->kind == EntryKind::kFile) continue;
    const fs::path path = EntryPath(root, *entry);
    if (entry->kind == EntryKind::kFolder) {
      if (::chmod(path.c_str(), 0555) != 0) return ErrnoError(path.string() + ": chmod", errno);
    }
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return ErrnoError(path.string(), errno);
    entry->print = Fingerprint::Of(info);
  }
  return Ok();
}

Status SyncPaths(const std::vector<fs::path>& paths) {
  // All on their way to the disk before the first is waited for: a journalling file system then commits once
  // for the lot, instead of once a file.
  constexpr size_t kAtOnce = 128;
  for (size_t begin = 0; begin < paths.size(); begin += kAtOnce) {
    const size_t count = std::min(kAtOnce, paths.size() - begin);
    std::vector<Fd> files;
    for (size_t i = begin; i < begin + count; ++i) {
      files.emplace_back(::open(paths[i].c_str(), O_RDONLY | O_CLOEXEC));
      if (!files.back().valid()) return ErrnoError(paths[i].string(), errno);
      if (count > 1) ::sync_file_range(files.back().get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    for (const Fd& file : files) {
      if (count > 1) ::sync_file_range(file.get(), 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    }
    for (size_t i = 0; i < count; ++i) {
      if (::fsync(files[i].get()) != 0 && errno != EINVAL)
        return ErrnoError(paths[begin + i].string() + ": fsync", errno);
    }
  }
  return Ok();
}

void AppendSyncPaths(const fs::path& root, const TreeListing& listing, std::vector<fs::path>& paths) {
  for (const TreeEntry& entry : listing.entries) {
    if (entry.kind != EntryKind::kLink) paths.push_back(EntryPath(root, entry));
  }
}

}  // namespace genflow
