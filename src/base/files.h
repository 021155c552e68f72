// Files: descriptors that close themselves, whole reads, durable atomic writes, read-only maps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace genflow {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { Reset(); }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

// The whole file. Refuses files over `limit` bytes (kInvalid).
Result<std::string> ReadFile(const std::filesystem::path& path, uint64_t limit = 1ull << 32);

// Writes all bytes to a descriptor, restarting after signals.
Status WriteAll(int fd, std::string_view bytes);
// The same; errors name `path`.
Status WriteAll(int fd, const std::filesystem::path& path, std::string_view bytes);

// Replaces `path` with `bytes` so that a reader, or a crash at any instant, sees the old file or the new one
// whole: written beside it, synced, renamed, folder synced. Devices and pipes are written into, not replaced.
Status WriteFileAtomic(const std::filesystem::path& path, std::string_view bytes, unsigned mode = 0644);

// fsync of a file or folder.
Status SyncPath(const std::filesystem::path& path);

Status MakeDirectories(const std::filesystem::path& path);

// Removes a file or a tree, also one with read-only folders. A missing path is success.
Status RemoveTree(const std::filesystem::path& path);

// A read-only memory map of a whole file. Empty files map to an empty view.
class MappedFile {
 public:
  static Result<MappedFile> Open(const std::filesystem::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // The whole pages in a range of a map no longer count as this process's memory. They come back from the
  // file when they are read again.
  static void GiveBack(const std::byte* data, size_t bytes);

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Path of the running executable.
std::filesystem::path ExecutablePath();

}  // namespace genflow
