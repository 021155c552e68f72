// Tape archives (POSIX ustar, with pax headers for long names, other alphabets and large files), written and
// read as streams.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow {

struct TarEntry {
  enum class Kind { kFile, kFolder, kLink } kind = Kind::kFile;
  std::string name;  // relative, '/' between names, none at the end
  bool executable = false;
  uint64_t size = 0;   // files
  std::string target;  // links
  int64_t mtime = 0;   // seconds since the Unix epoch
};

// Writes to a descriptor that stays the caller's, and must outlive the writer.
class TarWriter {
 public:
  explicit TarWriter(int fd) : fd_(fd) {}
  // The headers of an entry. A file's `size` bytes follow by Write.
  Status Begin(const TarEntry& entry);
  Status Write(std::string_view bytes);
  // A whole file.
  Status Add(const TarEntry& entry, std::string_view bytes);
  // The end of the archive, and what is still buffered.
  Status Finish();

 private:
  Status Put(std::string_view bytes);
  Status Header(const TarEntry& entry, std::string_view name, char type, uint64_t size);
  Status Flush();

  int fd_;
  uint64_t left_ = 0;     // bytes of the open file
  uint64_t padding_ = 0;  // that follow them
  std::string buffer_;
};

// Reads from a descriptor that stays the caller's. Errors are kCorrupt for what is no archive, or not a whole
// one.
class TarReader {
 public:
  explicit TarReader(int fd) : fd_(fd) {}
  // The next entry, or nothing at the end of the archive. What was not read of the one before is passed over.
  Result<std::optional<TarEntry>> Next();
  // Calls `take` with the bytes of the entry's file, in order; stops at its first error.
  Status Read(const std::function<Status(std::string_view bytes)>& take);
  // The same as one text. Refuses files over `limit` bytes.
  Result<std::string> ReadAll(uint64_t limit);

 private:
  Status Fill(char* to, size_t count);
  Result<std::optional<std::string>> Block();
  Status Skip();

  int fd_;
  uint64_t left_ = 0, padding_ = 0;
};

}  // namespace genflow
