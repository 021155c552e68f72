#include "cli/new_output.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

namespace genflow::cli {

namespace fs = std::filesystem;

namespace {

Error Exists(const fs::path& target) {
  return InvalidError(target.string() + ": exists already", "remove it, or write to another path");
}

fs::path Parent(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// Whether `path` still is what `fd` has open.
bool SameFile(int fd, const fs::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

}  // namespace

Result<NewOutput> NewOutput::Create(const fs::path& target) {
  fs::path path = target.lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "out/"
  if (path.empty() || path.filename() == "." || path.filename() == "..")
    return InvalidError("'" + target.string() + "' is no name for a new file or folder");
  std::error_code ec;
  if (fs::exists(fs::symlink_status(path, ec))) return Exists(path);
  const fs::path folder = Parent(path) / ("." + path.filename().string() + ".partial");
  while (true) {
    if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) return ErrnoError(path.string(), errno);
    Fd lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!lock.valid() && errno == ENOENT) continue;
    if (!lock.valid()) return ErrnoError(folder.string(), errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
      return MakeError(Code::kBusy, path.string() + ": another process is writing it");
    if (!SameFile(lock.get(), folder)) continue;  // its owner has just gone
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
      GF_CHECK_OK(RemoveTree(it->path()));
    NewOutput out;
    out.target_ = path;
    out.folder_ = folder;
    out.lock_ = std::move(lock);
    return out;
  }
}

NewOutput::~NewOutput() {
  if (!folder_.empty()) (void)RemoveTree(folder_).ok();
}

Status NewOutput::Keep() {
  GF_CHECK_OK(SyncPath(partial()));
  if (::renameat2(AT_FDCWD, partial().c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == EEXIST || errno == ENOTEMPTY) return Exists(target_);
    // A file system without such a rename.
    std::error_code ec;
    if (errno != EINVAL) return ErrnoError(target_.string(), errno);
    if (fs::exists(fs::symlink_status(target_, ec))) return Exists(target_);
    if (::rename(partial().c_str(), target_.c_str()) != 0) return ErrnoError(target_.string(), errno);
  }
  return SyncPath(Parent(target_));
}

Error NewOutput::ForUser(Error error) const {
  const std::string partial = this->partial().string();
  for (size_t at = error.message.find(partial); at != std::string::npos; at = error.message.find(partial, at))
    error.message.replace(at, partial.size(), target_.string());
  return error;
}

}  // namespace genflow::cli
