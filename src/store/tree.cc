#include "store/tree.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "base/sha256.h"
#include "base/strings.h"
#include "store/hashing.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

bool IsInside(const fs::path& relative) {
  const fs::path normal = relative.lexically_normal();
  return normal.empty() || *normal.begin() != "..";
}

Result<std::string> ReadLink(const fs::path& path) {
  char buffer[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), buffer, sizeof buffer);
  if (n < 0) return ErrnoError(path.string(), errno);
  return std::string(buffer, static_cast<size_t>(n));
}

// `entry` is a link below `root`; its target is filled in.
Status CheckLink(const fs::path& root, TreeEntry& entry) {
  const fs::path full = EntryPath(root, entry);
  GF_TRY(entry.target, ReadLink(full));
  const fs::path target(entry.target);
  const std::string hint = "write a copy, or a relative link to a file of the same output";
  if (target.is_absolute()) {
    return InvalidError(full.string() + ": a symbolic link to the absolute path " + entry.target +
                            " cannot be part of an artifact",
                        hint);
  }
  // Following other links on the way may lead outside even where the text does not.
  std::error_code ec;
  const fs::path base = fs::canonical(root, ec);
  const fs::path resolved = ec ? fs::path() : fs::weakly_canonical(full.parent_path() / target, ec);
  if (!IsInside(fs::path(entry.path).parent_path() / target) || ec ||
      !IsInside(resolved.lexically_relative(base))) {
    return InvalidError(full.string() + ": a symbolic link to " + entry.target +
                            ", outside its own folder tree, cannot be part of an artifact",
                        hint);
  }
  if (!IsUtf8(entry.target)) {
    return InvalidError(full.string() + ": the target of a symbolic link in an artifact must be UTF-8", hint);
  }
  return Ok();
}

Status AddEntry(const fs::path& root, std::string relative, TreeListing& listing) {
  TreeEntry entry;
  entry.path = std::move(relative);
  const fs::path full = EntryPath(root, entry);
  if (!IsUtf8(entry.path)) {
    return InvalidError(full.parent_path().string() + ": holds a file whose name is not UTF-8",
                        "rename it: an artifact's file names must be UTF-8");
  }
  struct stat info {};
  if (::lstat(full.c_str(), &info) != 0) return ErrnoError(full.string(), errno);
  entry.print = Fingerprint::Of(info);
  const bool top = entry.path.empty();
  if (S_ISREG(info.st_mode)) {
    entry.kind = EntryKind::kFile;
    entry.executable = (info.st_mode & S_IXUSR) != 0;
  } else if (S_ISDIR(info.st_mode)) {
    entry.kind = EntryKind::kFolder;
    std::error_code ec;
    for (fs::directory_iterator it(full, ec), end; !ec && it != end; it.increment(ec)) {
      const std::string name = it->path().filename().string();
      GF_CHECK_OK(AddEntry(root, top ? name : entry.path + "/" + name, listing));
    }
    if (ec) return ErrnoError(full.string(), ec.value());
  } else if (S_ISLNK(info.st_mode) && !top) {
    entry.kind = EntryKind::kLink;
    GF_CHECK_OK(CheckLink(root, entry));
  } else {
    const char* what = S_ISLNK(info.st_mode)    ? "a symbolic link"
                       : S_ISFIFO(info.st_mode) ? "a pipe"
                       : S_ISSOCK(info.st_mode) ? "a socket"
                                                : "a device";
    return InvalidError(full.string() + ": " + what + " cannot be part of an artifact",
                        "an artifact is a regular file, or a folder of regular files");
  }
  listing.entries.push_back(std::move(entry));
  return Ok();
}

std::string Quoted(const TreeEntry& entry) {
  return entry.path.empty() ? std::string("its content") : "'" + entry.path + "'";
}

// The first difference that shows without reading contents.
std::string StructuralDifference(const TreeListing& recorded, const TreeListing& actual) {
  auto was = recorded.entries.begin();
  auto is = actual.entries.begin();
  while (was != recorded.entries.end() || is != actual.entries.end()) {
    if (is == actual.entries.end() || (was != recorded.entries.end() && was->path < is->path)) {
      return Quoted(*was) + " is missing";
    }
    if (was == recorded.entries.end() || is->path < was->path) return Quoted(*is) + " was added";
    if (was->kind != is->kind) return Quoted(*was) + " is of another kind (file, folder or link)";
    if (was->kind == EntryKind::kFile && was->print.size != is->print.size) {
      return Quoted(*was) + " is " + std::to_string(is->print.size) + " bytes instead of " +
             std::to_string(was->print.size);
    }
    if (was->executable != is->executable) return Quoted(*was) + " has another executable bit";
    if (was->target != is->target) return Quoted(*was) + " links to another target";
    ++was;
    ++is;
  }
  return {};
}

bool AllPrintsMatch(const fs::path& root, const TreeListing& recorded) {
  for (const TreeEntry& entry : recorded.entries) {
    struct stat info {};
    if (::lstat(EntryPath(root, entry).c_str(), &info) != 0) return false;
    if (!(Fingerprint::Of(info) == entry.print)) return false;
  }
  return true;
}

}  // namespace

Fingerprint Fingerprint::Of(const struct stat& info) {
  Fingerprint print;
  print.size = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  print.ino = info.st_ino;
  print.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000ll + info.st_mtim.tv_nsec;
  print.ctime_ns = info.st_ctim.tv_sec * 1'000'000'000ll + info.st_ctim.tv_nsec;
  return print;
}

uint64_t TreeListing::Bytes() const {
  uint64_t bytes = 0;
  for (const TreeEntry& entry : entries) bytes += entry.print.size;
  return bytes;
}

uint64_t TreeListing::Files() const {
  uint64_t files = 0;
  for (const TreeEntry& entry : entries) files += entry.kind == EntryKind::kFile ? 1 : 0;
  return files;
}

std::string TreeListing::Digest() const {
  if (!is_tree) return entries.front().sha256;
  Sha256 hash;
  hash.Update("genflow-tree-1\n");
  const std::string_view zero("\0", 1);
  for (const TreeEntry& entry : entries) {
    if (entry.path.empty()) continue;
    switch (entry.kind) {
      case EntryKind::kFile:
        hash.Update(entry.executable ? "x " : "f ");
        hash.Update(entry.sha256);
        break;
      case EntryKind::kLink:
        hash.Update("l ");
        hash.Update(entry.target);
        break;
      case EntryKind::kFolder:
        hash.Update("d");
        break;
    }
    hash.Update(zero);
    hash.Update(entry.path);
    hash.Update(zero);
  }
  return hash.Finish();
}

fs::path EntryPath(const fs::path& root, const TreeEntry& entry) {
  return entry.path.empty() ? root : root / entry.path;
}

Result<TreeListing> ListTree(const fs::path& path) {
  TreeListing listing;
  GF_CHECK_OK(AddEntry(path, "", listing));
  std::sort(listing.entries.begin(), listing.entries.end(),
            [](const TreeEntry& a, const TreeEntry& b) { return a.path < b.path; });
  listing.is_tree = listing.entries.front().kind == EntryKind::kFolder;
  return listing;
}

Result<TreeCheck> CheckTree(const fs::path& path, TreeListing& recorded, CheckDepth depth,
                            const std::function<void(uint64_t)>& progress) {
  TreeCheck check;
  if (depth == CheckDepth::kStat && AllPrintsMatch(path, recorded)) return check;
  auto listed = ListTree(path);
  if (!listed.ok()) {
    if (listed.error().code == Code::kNotFound) {
      check.problem = "its content is missing";
      return check;
    }
    if (listed.error().code != Code::kInvalid) return listed.error();
    check.problem = listed.error().message;
    return check;
  }
  check.problem = StructuralDifference(recorded, *listed);
  if (!check.problem.empty()) return check;
  for (size_t i = 0; i < recorded.entries.size(); ++i) {
    TreeEntry& was = recorded.entries[i];
    const TreeEntry& is = listed->entries[i];
    const bool same_print = was.print == is.print;
    if (was.kind == EntryKind::kFile && (depth == CheckDepth::kContent || !same_print)) {
      GF_TRY(const HashedFile hashed, HashFile(EntryPath(path, was), HashMode::kRead, progress));
      if (hashed.sha256 != was.sha256) {
        check.problem = was.path.empty() ? std::string("its content has changed")
                                         : "the content of " + Quoted(was) + " has changed";
        return check;
      }
    }
    if (!same_print) {
      was.print = is.print;
      check.refreshed = true;
    }
  }
  return check;
}

}  // namespace genflow
