// Bytes and lines of a file that may be compressed: .gz and .zst are recognised by their first bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::data {

// One file, decompressed as it is read.
class ByteSource {
 public:
  static Result<std::unique_ptr<ByteSource>> Open(const std::filesystem::path& file);
  virtual ~ByteSource() = default;

  // Up to `size` bytes into `to`; 0 at the end. A compressed file that ends early or holds damaged data is
  // kCorrupt.
  virtual Result<size_t> Read(char* to, size_t size) = 0;
  // Bytes of the file as stored that have been consumed.
  virtual uint64_t consumed() const = 0;
};

// The whole decompressed content; kInvalid above `limit` bytes.
Result<std::string> ReadAll(const std::filesystem::path& file, uint64_t limit);

// Lines without their ends ("\n" or "\r\n"); the last may lack one. A line stays valid until the next call
// and is followed by at least kPadding readable bytes, which SIMD parsers need.
class LineReader {
 public:
  static constexpr size_t kPadding = 64;
  static constexpr size_t kMaxLine = 1ull << 30;

  // Reads `source`, which must outlive this; `name` stands in messages.
  LineReader(ByteSource* source, std::string name, size_t max_line = kMaxLine);

  // False at the end. kCorrupt for a line of much more than `max_line` bytes, after which there is no going
  // on.
  Result<bool> Next(std::string_view* line);
  // Number of the line that Next() gave, from 1.
  uint64_t line() const { return line_; }
  const std::string& name() const { return name_; }

 private:
  ByteSource* source_;
  std::string name_;
  size_t max_line_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;  // unread part of buffer_
  uint64_t line_ = 0;
  bool at_end_ = false;
};

}  // namespace genflow::data
