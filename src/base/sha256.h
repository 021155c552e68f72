// SHA-256 (FIPS 180-4) by OpenSSL, which uses the CPU's SHA extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(const void* data, size_t size);
  // What comes from a descriptor up to its end; `expected` bytes, as far as one knows. Large files are read
  // ahead by a thread. False: errno says why it could not be read. `progress` is told how many bytes came at
  // a time.
  bool UpdateFrom(int fd, uint64_t expected, const std::function<void(uint64_t)>& progress = {});
  void Update(std::string_view text) { Update(text.data(), text.size()); }
  // 64 lower-case hexadecimal digits. The object is spent afterwards.
  std::string Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Digest of a byte string, as 64 hexadecimal digits.
std::string Sha256Hex(std::string_view bytes);

// Digest of a regular file's contents.
Result<std::string> Sha256File(const std::filesystem::path& path);

}  // namespace genflow
