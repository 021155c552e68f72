// A file being written whose errors name it. Internal to src/formats.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace genflow::formats {

// WriteAll() to the file at `path`.
inline Status WriteTo(const Fd& fd, const std::filesystem::path& path, std::string_view bytes) {
  Status written = WriteAll(fd.get(), bytes);
  if (written.ok()) return written;
  Error error = std::move(written).error();
  error.message = path.string() + ": " + error.message;
  return error;
}

// The declared tensor (with `name` and `bytes`) that comes next, for `bytes` bytes of data; an error when
// there is none or its size is another.
template <class Entry>
Result<const Entry*> NextTensor(const std::vector<Entry>& entries, size_t* next, size_t bytes,
                                const std::filesystem::path& path) {
  if (*next >= entries.size())
    return MakeError(Code::kInternal, path.string() + ": more tensors than were declared");
  const Entry& entry = entries[(*next)++];
  if (bytes != entry.bytes) {
    return MakeError(Code::kInternal, path.string() + ": tensor '" + entry.name + "' has " +
                                          std::to_string(bytes) + " bytes, not " +
                                          std::to_string(entry.bytes));
  }
  return &entry;
}

// Syncs and closes it.
inline Status Close(Fd* fd, const std::filesystem::path& path) {
  if (::fsync(fd->get()) != 0) return ErrnoError(path.string() + ": fsync", errno);
  fd->Reset();
  return Ok();
}

}  // namespace genflow::formats
