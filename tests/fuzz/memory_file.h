// Bytes as a file that is in no folder.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/files.h"

namespace genflow {

class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (!fd_.valid() || !WriteAll(fd_.get(), bytes).ok()) std::abort();
  }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  Fd fd_;
};

}  // namespace genflow
