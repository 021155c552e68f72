// Files of any format as one dataset.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"
#include "data/records.h"

namespace genflow::data {

enum class Format { kAuto, kJsonl, kJson, kCsv, kParquet, kText, kMan };
enum class TextUnit { kFile, kParagraph, kLine };

std::optional<Format> FormatFromName(std::string_view name);

struct ReadOptions {
  Format format = Format::kAuto;  // kAuto: by each file's name, compression endings aside
  RecordOptions records;          // of JSONL, JSON, CSV and Parquet
  char csv_delimiter = '\0';      // '\0': found out
  TextUnit text_unit = TextUnit::kFile;
  std::vector<std::string> sections;  // man pages: "1", "8" (also "1ssl"), all where empty
  std::vector<std::string> exclude;   // patterns (* ? [a-z]) of file names that are left out
  bool skip_bad = false;              // leave malformed records out instead of failing
  std::optional<uint64_t> limit;      // at most so many rows: those whose ids hash lowest, in that order
};

struct ReadStats {
  uint64_t files = 0;
  uint64_t bytes = 0;  // of the files as stored
  uint64_t rows = 0;
  uint64_t skipped = 0;  // malformed records left out
  uint64_t links = 0;    // man pages that only point to another one, or say again what another said
  std::vector<std::string> problems;  // messages of the first skipped records
};

// Bytes read so far of all bytes; false asks to stop (the result is then kInterrupted).
using ReadProgress = std::function<bool(uint64_t done, uint64_t total)>;

// Reads `files` in their order into a new dataset at `folder`. Messages of malformed input start with
// "FILE:LINE: ". kInvalid when there are no files or no rows.
Result<ReadStats> ReadFiles(const std::vector<std::filesystem::path>& files, const ReadOptions& options,
                            const std::filesystem::path& folder, const ReadProgress& progress);

}  // namespace genflow::data
