// Rows of any Parquet file as JSON objects.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

namespace genflow::data {

class ParquetRows {
 public:
  static Result<std::unique_ptr<ParquetRows>> Open(const std::filesystem::path& file);
  virtual ~ParquetRows() = default;

  // Replaces `json` by the next row: {"column":value,...}, nulls left out; false at the end. Strings,
  // numbers, booleans, lists, maps and structs keep their JSON type; other values (dates, decimals) become
  // text.
  virtual Result<bool> Next(std::string* json) = 0;
  virtual uint64_t rows() const = 0;
};

}  // namespace genflow::data
