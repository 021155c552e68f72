#include "cli/rotating_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

namespace genflow::cli {

namespace fs = std::filesystem;

Result<RotatingLog> RotatingLog::Open(const fs::path& path, uint64_t limit, int files) {
  RotatingLog log(path, limit, files);
  if (!path.parent_path().empty()) GF_CHECK_OK(MakeDirectories(path.parent_path()));
  GF_CHECK_OK(log.Reopen());
  return log;
}

Status RotatingLog::Reopen() {
  fd_ = Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd_.valid()) return ErrnoError(path_.string(), errno);
  return Ok();
}

// The oldest file goes, the others move up by one.
Status RotatingLog::Shift() {
  const auto name = [this](int number) {
    return number == 0 ? path_.string() : path_.string() + "." + std::to_string(number);
  };
  for (int number = files_ - 2; number >= 0; --number) {
    if (::rename(name(number).c_str(), name(number + 1).c_str()) != 0 && errno != ENOENT)
      return ErrnoError(name(number), errno);
  }
  return Ok();
}

Status RotatingLog::Write(std::string_view bytes) {
  while (true) {
    while (::flock(fd_.get(), LOCK_EX) != 0) {
      if (errno != EINTR) return ErrnoError(path_.string() + ": flock", errno);
    }
    struct stat mine {
    }, named{};
    if (::fstat(fd_.get(), &mine) != 0) return ErrnoError(path_.string(), errno);
    const bool current =
        ::stat(path_.c_str(), &named) == 0 && named.st_ino == mine.st_ino && named.st_dev == mine.st_dev;
    const auto size = static_cast<uint64_t>(mine.st_size);
    if (!current) {  // another process has moved it
      GF_CHECK_OK(Reopen());
      continue;
    }
    if (size == 0 || size + bytes.size() <= limit_) break;
    GF_CHECK_OK(Shift());
    GF_CHECK_OK(Reopen());
  }
  const Status written = WriteAll(fd_.get(), bytes);
  ::flock(fd_.get(), LOCK_UN);
  if (written.ok()) return written;
  return MakeError(written.error().code, path_.string() + ": " + written.error().message);
}

}  // namespace genflow::cli
