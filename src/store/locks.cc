#include "store/locks.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

namespace genflow {

namespace fs = std::filesystem;

Result<Fd> OpenLockFile(const fs::path& path) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 && errno == ENOENT) {
    GF_CHECK_OK(MakeDirectories(path.parent_path()));
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  }
  if (fd < 0) return ErrnoError(path.string(), errno);
  return Fd(fd);
}

namespace {

int Flock(int fd, int operation) {
  int rc;
  do {
    rc = ::flock(fd, operation);
  } while (rc != 0 && errno == EINTR);
  return rc;
}

bool SameFile(int fd, const fs::path& path) {
  struct stat mine {
  }, named{};
  return ::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &named) == 0 && mine.st_ino == named.st_ino &&
         mine.st_dev == named.st_dev;
}

std::string HolderText(const LockHolder& holder) {
  const nlohmann::json json = {{"pid", holder.pid},
                               {"host", holder.host},
                               {"subject", holder.subject},
                               {"run", holder.run},
                               {"since", holder.since}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

LockHolder ThisProcess(std::string subject, std::string run) {
  LockHolder self;
  self.pid = ::getpid();
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) == 0) self.host = host;
  self.subject = std::move(subject);
  self.run = std::move(run);
  self.since = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return self;
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  if (this != &other) {
    Release();
    fd_ = std::move(other.fd_);
    path_ = std::move(other.path_);
  }
  return *this;
}

Result<std::optional<FileLock>> FileLock::Try(const fs::path& path, const LockHolder& self,
                                              LockHolder* holder) {
  while (true) {
    GF_TRY(Fd fd, OpenLockFile(path));
    if (Flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoError(path.string() + ": flock", errno);
      if (holder != nullptr) *holder = ReadHolder(path);
      return std::optional<FileLock>();
    }
    // The holder before us may have removed the file between our open and our lock: lock the new one.
    if (!SameFile(fd.get(), path)) continue;
    FileLock lock;
    lock.fd_ = std::move(fd);
    lock.path_ = path;
    GF_CHECK_OK(lock.Describe(self));
    return std::optional<FileLock>(std::move(lock));
  }
}

LockHolder FileLock::ReadHolder(const fs::path& path) {
  LockHolder holder;
  auto text = ReadFile(path, 1 << 16);
  if (!text.ok()) return holder;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return holder;
  auto text_of = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  auto number_of = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_number() ? found->get<double>() : 0.0;
  };
  holder.pid = static_cast<int>(number_of("pid"));
  holder.since = number_of("since");
  holder.host = text_of("host");
  holder.subject = text_of("subject");
  holder.run = text_of("run");
  return holder;
}

Status FileLock::Describe(const LockHolder& self) {
  const std::string text = HolderText(self);
  if (::lseek(fd_.get(), 0, SEEK_SET) < 0 || ::ftruncate(fd_.get(), 0) != 0) {
    return ErrnoError(path_.string(), errno);
  }
  return WriteAll(fd_.get(), path_, text);
}

void FileLock::Release() {
  if (!fd_.valid()) return;
  // Removed while held: whoever opened it meanwhile sees that it is gone and opens anew.
  if (SameFile(fd_.get(), path_)) ::unlink(path_.c_str());
  fd_.Reset();
}

Result<SharedLock> SharedLock::Wait(const fs::path& path, Mode mode) {
  GF_TRY(Fd fd, OpenLockFile(path));
  if (Flock(fd.get(), mode == Mode::kShared ? LOCK_SH : LOCK_EX) != 0) {
    return ErrnoError(path.string() + ": flock", errno);
  }
  return SharedLock(std::move(fd));
}

Result<std::optional<SharedLock>> SharedLock::Try(const fs::path& path, Mode mode) {
  GF_TRY(Fd fd, OpenLockFile(path));
  if (Flock(fd.get(), (mode == Mode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoError(path.string() + ": flock", errno);
    return std::optional<SharedLock>();
  }
  return std::optional<SharedLock>(SharedLock(std::move(fd)));
}

}  // namespace genflow
