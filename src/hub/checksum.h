// The digests by which a hub names what files hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::hub {

// 64 hexadecimal digits: SHA-256 of the bytes. 40: git's name of the blob, SHA-1 of "blob SIZE\0" and the
// bytes. "": nothing is known.
class Checksum {
 public:
  // `size` of the whole file.
  Checksum(std::string expected, uint64_t size);
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;

  void Add(std::string_view bytes);
  // Whether it is what was expected; ends it.
  bool Matches();

  // Whether `text` is a digest of one of the two kinds.
  static bool IsDigest(std::string_view text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace genflow::hub
