#include "store/key_locks.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "base/sha256.h"
#include "store/locks.h"

namespace genflow {

namespace {

// Two keys with one place exclude each other: at 60 bits that costs nobody anything.
int64_t PlaceOf(const std::string& key) {
  return static_cast<int64_t>(std::stoull(Sha256Hex(key).substr(0, 15), nullptr, 16));
}

int SetLock(int fd, int64_t place, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = place;
  lock.l_len = 1;
  int rc;
  do {
    rc = ::fcntl(fd, F_OFD_SETLK, &lock);
  } while (rc != 0 && errno == EINTR);
  return rc;
}

}  // namespace

KeyLock::KeyLock(KeyLock&& other) noexcept : file_(std::move(other.file_)), at_(other.at_) {}

KeyLock& KeyLock::operator=(KeyLock&& other) noexcept {
  if (this != &other) {
    Release();
    file_ = std::move(other.file_);
    at_ = other.at_;
  }
  return *this;
}

void KeyLock::Release() {
  if (file_ == nullptr) return;
  SetLock(file_->fd_.get(), at_, F_UNLCK);
  file_->held_.erase(at_);
  file_.reset();
}

Result<std::shared_ptr<KeyLocks>> KeyLocks::Open(const std::filesystem::path& path) {
  GF_TRY(Fd fd, OpenLockFile(path));
  return std::shared_ptr<KeyLocks>(new KeyLocks(std::move(fd), path));
}

Result<std::optional<KeyLock>> KeyLocks::Try(const std::string& key, const std::string& run) {
  const int64_t place = PlaceOf(key);
  if (held_.count(place) != 0) return std::optional<KeyLock>();
  if (SetLock(fd_.get(), place, F_WRLCK) != 0) {
    if (errno == EAGAIN || errno == EACCES) return std::optional<KeyLock>();
    return ErrnoError(path_.string() + ": lock", errno);
  }
  held_[place] = run;
  KeyLock lock;
  lock.file_ = shared_from_this();
  lock.at_ = place;
  return std::optional<KeyLock>(std::move(lock));
}

std::string KeyLocks::HeldFor(const std::string& key) const {
  const auto held = held_.find(PlaceOf(key));
  return held != held_.end() ? held->second : std::string();
}

}  // namespace genflow
