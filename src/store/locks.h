// Advisory locks on files (flock): released by the kernel when the holder dies, however it dies.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/files.h"
#include "base/result.h"

namespace genflow {

// Makes it, and its folder, where it is not there.
Result<Fd> OpenLockFile(const std::filesystem::path& path);

// Who holds a lock, as the holder wrote it down; fields are empty or 0 when that could not be read.
struct LockHolder {
  int pid = 0;
  std::string host;
  std::string subject;  // what the lock is on: a pipeline's name, a key
  std::string run;
  double since = 0;  // seconds since the Unix epoch
};

// An exclusive lock on a file of its own. The file is removed on release; a file left by a dead holder is
// taken over. Movable; released on destruction, also by exit or a crash (not inherited across exec).
class FileLock {
 public:
  FileLock() = default;
  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock() { Release(); }

  // The lock, or nothing when another descriptor holds it (`holder` then says who, if given).
  // Parent folders are created.
  static Result<std::optional<FileLock>> Try(const std::filesystem::path& path, const LockHolder& self,
                                             LockHolder* holder = nullptr);

  static LockHolder ReadHolder(const std::filesystem::path& path);

  bool held() const { return fd_.valid(); }
  // Rewrites what others read about the holder.
  Status Describe(const LockHolder& self);
  void Release();

 private:
  Fd fd_;
  std::filesystem::path path_;
};

// A lock that many may share or one hold alone, on a file that stays. Released on destruction.
class SharedLock {
 public:
  enum class Mode { kShared, kExclusive };
  // Waits for the lock.
  static Result<SharedLock> Wait(const std::filesystem::path& path, Mode mode);
  // Nothing when it is held in a conflicting mode.
  static Result<std::optional<SharedLock>> Try(const std::filesystem::path& path, Mode mode);

 private:
  explicit SharedLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// This process as a holder: pid, host, now.
LockHolder ThisProcess(std::string subject, std::string run = {});

}  // namespace genflow
