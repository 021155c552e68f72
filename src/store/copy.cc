#include "store/copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/files.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

Status CopyByReading(int from, int to, const fs::path& to_path) {
  constexpr size_t kBlock = 1 << 20;
  const std::unique_ptr<char[]> buffer(new char[kBlock]);
  while (true) {
    const ssize_t n = ::read(from, buffer.get(), kBlock);
    if (n == 0) return Ok();
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(to_path.string(), errno);
    }
    GF_CHECK_OK(WriteAll(to, to_path, {buffer.get(), static_cast<size_t>(n)}));
  }
}

}  // namespace

Status CloneFile(const fs::path& from, const fs::path& to) {
  Fd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.valid()) return ErrnoError(from.string(), errno);
  struct stat info {};
  if (::fstat(in.get(), &info) != 0) return ErrnoError(from.string(), errno);
  Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                (info.st_mode & S_IXUSR) != 0 ? 0777 : 0666));
  if (!out.valid()) return ErrnoError(to.string(), errno);
  if (::ioctl(out.get(), FICLONE, in.get()) == 0) return Ok();
  bool copied_some = false;
  while (true) {
    const ssize_t n = ::copy_file_range(in.get(), nullptr, out.get(), nullptr, 1 << 30, 0);
    if (n == 0) break;
    if (n > 0) {
      copied_some = true;
      continue;
    }
    if (errno == EINTR) continue;
    const bool cannot = errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
    if (cannot && !copied_some) break;
    return ErrnoError(to.string(), errno);
  }
  // Some file systems report a copy of nothing where they cannot copy: read on from where it stands.
  return CopyByReading(in.get(), out.get(), to);
}

Status MakeUnshared(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return ErrnoError(path.string(), errno);
  if (info.st_nlink <= 1) return Ok();
  fs::path copy = path;
  copy += ".genflow-copy";
  if (auto cloned = CloneFile(path, copy); !cloned.ok()) {
    ::unlink(copy.c_str());
    return cloned;
  }
  if (::rename(copy.c_str(), path.c_str()) != 0) return ErrnoError(path.string(), errno);
  return Ok();
}

Status CopyTree(const fs::path& from, const fs::path& to, bool link) {
  struct stat info {};
  if (::lstat(from.c_str(), &info) != 0) return ErrnoError(from.string(), errno);
  if (S_ISLNK(info.st_mode)) {
    std::error_code ec;
    fs::copy_symlink(from, to, ec);
    if (ec) return ErrnoError(to.string(), ec.value());
    return Ok();
  }
  if (!S_ISDIR(info.st_mode)) {
    if (!link) return CloneFile(from, to);
    if (::link(from.c_str(), to.c_str()) == 0) return Ok();
    if (errno == EXDEV || errno == EPERM || errno == EMLINK) {
      return InvalidError(to.string() +
                              ": cannot be a hard link into the store (another file system, or one "
                              "without hard links)",
                          "export a copy instead");
    }
    return ErrnoError(to.string(), errno);
  }
  if (::mkdir(to.c_str(), 0777) != 0) return ErrnoError(to.string(), errno);
  std::error_code ec;
  for (fs::directory_iterator it(from, ec), end; !ec && it != end; it.increment(ec)) {
    GF_CHECK_OK(CopyTree(it->path(), to / it->path().filename(), link));
  }
  if (ec) return ErrnoError(from.string(), ec.value());
  return Ok();
}

}  // namespace genflow
