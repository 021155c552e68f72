// One Parquet file of a dataset. Internal to src/data: everything else uses dataset.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "data/dataset.h"

namespace genflow::data {

// The columns of a kind as written in manifest.json and in messages: "id: string, text: string, ...".
std::string SchemaText(Kind kind);

class ShardWriter {
 public:
  static Result<std::unique_ptr<ShardWriter>> Create(const std::filesystem::path& file, Kind kind,
                                                     int compression_level);
  virtual ~ShardWriter() = default;

  // Buffers one row of the shard's kind.
  virtual Status Append(const TextRow& row) = 0;
  virtual Status Append(const MessagesRow& row) = 0;
  virtual Status Append(const PreferenceRow& row) = 0;
  // Writes the buffered rows as one row group.
  virtual Status Flush() = 0;
  // Flushes, writes the footer; the size of the file in bytes.
  virtual Result<uint64_t> Close() = 0;
};

class ShardReader {
 public:
  // kCorrupt when the file is not Parquet or has other columns than the kind's.
  static Result<std::unique_ptr<ShardReader>> Open(const std::filesystem::path& file, Kind kind);
  virtual ~ShardReader() = default;

  virtual uint64_t rows() const = 0;
  virtual Result<bool> Next(TextRow* row) = 0;
  virtual Result<bool> Next(MessagesRow* row) = 0;
  virtual Result<bool> Next(PreferenceRow* row) = 0;
};

}  // namespace genflow::data
