// A file being written whose errors name it. Internal to src/formats.
#pragma once

#include <fcntl.h>
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

// Creates or empties it.
inline Result<Fd> CreateOutput(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  return fd;
}

// Syncs and closes it, when all tensors before `next` are all that were declared.
template <class Entry>
Status Close(Fd* fd, const std::filesystem::path& path, const std::vector<Entry>& entries, size_t next) {
  if (next != entries.size())
    return MakeError(Code::kInternal,
                     path.string() + ": tensor '" + entries[next].name + "' was not written");
  if (::fsync(fd->get()) != 0) return ErrnoError(path.string() + ": fsync", errno);
  fd->Reset();
  return Ok();
}

}  // namespace genflow::formats
