// Locks on keys: one byte each of one file that stays, so that taking one makes no file. Released by the
// kernel when the holder dies, however it dies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/result.h"

namespace genflow {

class KeyLocks;

// Held until destroyed. Movable; not inherited across exec.
class KeyLock {
 public:
  KeyLock() = default;
  KeyLock(KeyLock&& other) noexcept;
  KeyLock& operator=(KeyLock&& other) noexcept;
  ~KeyLock() { Release(); }

  bool held() const { return file_ != nullptr; }
  void Release();

 private:
  friend class KeyLocks;
  std::shared_ptr<KeyLocks> file_;
  int64_t at_ = 0;
};

// The open file of one Store. Two of them exclude each other, in one process as in two. One thread at a time.
class KeyLocks : public std::enable_shared_from_this<KeyLocks> {
 public:
  static Result<std::shared_ptr<KeyLocks>> Open(const std::filesystem::path& path);

  // Nothing when it is held, by this object or another.
  Result<std::optional<KeyLock>> Try(const std::string& key, const std::string& run);
  // The run for which this object holds the key; empty when it does not.
  std::string HeldFor(const std::string& key) const;

 private:
  friend class KeyLock;
  KeyLocks(Fd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::filesystem::path path_;
  std::map<int64_t, std::string>
      held_;  // place in the file -> run; the kernel does not keep us from ourselves
};

}  // namespace genflow
