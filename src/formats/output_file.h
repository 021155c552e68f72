// A file being written whose errors name it. Internal to src/formats.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>
#include <utility>

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

// Syncs and closes it.
inline Status Close(Fd* fd, const std::filesystem::path& path) {
  if (::fsync(fd->get()) != 0) return ErrnoError(path.string() + ": fsync", errno);
  fd->Reset();
  return Ok();
}

}  // namespace genflow::formats
