// What a file or a folder tree consists of: its listing, its digest, whether it is still the same.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace genflow {

enum class EntryKind : char { kFile = 'f', kFolder = 'd', kLink = 'l' };

// By this a file is taken for unchanged without reading it. Zero: nothing is known.
struct Fingerprint {
  uint64_t size = 0, ino = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;

  static Fingerprint Of(const struct stat& info);
  bool operator==(const Fingerprint&) const = default;
};

struct TreeEntry {
  std::string path;  // relative, '/' between names; empty for the file or folder itself
  EntryKind kind = EntryKind::kFile;
  bool executable = false;  // files
  std::string sha256;       // files, once hashed
  std::string target;       // links
  Fingerprint print;        // size counts for files only
};

struct TreeListing {
  bool is_tree = false;
  std::vector<TreeEntry> entries;  // sorted by path, bytewise; the first is the file or folder itself

  uint64_t Bytes() const;
  uint64_t Files() const;
  // A file's SHA-256; for a tree the SHA-256 of "genflow-tree-1\n" and, for each entry but the first, in
  // order: "f" or "x" (executable file), a space, the SHA-256; or "l", a space, the target; or "d"; then a
  // zero byte, the path, a zero byte. Every file has been hashed.
  std::string Digest() const;
};

std::filesystem::path EntryPath(const std::filesystem::path& root, const TreeEntry& entry);

// Walks `path`, which is a regular file or a folder (a link is not followed). Hashes nothing. Refuses
// special files, links that are absolute or leave the tree, names that are not UTF-8.
Result<TreeListing> ListTree(const std::filesystem::path& path);

// What differs between a tree and its recorded listing.
struct TreeCheck {
  std::string problem;     // empty: the content is the recorded one
  bool refreshed = false;  // fingerprints in the listing were stale (the content is right) and are new now
};

enum class CheckDepth {
  kStat,     // trust fingerprints; read what differs
  kContent,  // read everything
};

// Compares the tree at `path` with `recorded`, updating its fingerprints. An error only when the comparison
// was impossible (EIO, EACCES).
Result<TreeCheck> CheckTree(const std::filesystem::path& path, TreeListing& recorded, CheckDepth depth,
                            const std::function<void(uint64_t bytes)>& progress = {});

}  // namespace genflow
