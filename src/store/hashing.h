// Reading many files once, in parallel.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tree.h"

namespace genflow {

// Calls work(i) for every i below `count` on several threads, or on as many as are to be had. The first error
// (by i) stops the rest.
Status ParallelFor(size_t count, size_t threads, const std::function<Status(size_t)>& work);
size_t HashThreads(size_t files, uint64_t bytes);

struct HashedFile {
  std::string sha256;
  struct stat info {};  // after reading; the file did not change while it was read
};

enum class HashMode {
  kRead,
  kSeal,  // made read-only first; writing it to the disk begins
};

// kIo when the file changes while it is read.
Result<HashedFile> HashFile(const std::filesystem::path& path, HashMode mode,
                            const std::function<void(uint64_t bytes)>& progress = {});

// Fills in the hashes and fingerprints of a listing. kSeal: makes all of it read-only; files with more than
// one hard link get bytes of their own first.
Status HashListing(const std::filesystem::path& root, TreeListing& listing, HashMode mode);

// fsync of files and folders, several at once: the journal of the file system then commits them together.
// All changes must have been made before, so that each is not a commit of its own.
Status SyncPaths(const std::vector<std::filesystem::path>& paths);
// The files and folders of a listing, appended to `paths`.
void AppendSyncPaths(const std::filesystem::path& root, const TreeListing& listing,
                     std::vector<std::filesystem::path>& paths);

}  // namespace genflow
