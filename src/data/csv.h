// Comma-separated values as RFC 4180 has them: quoted fields may hold delimiters, quotes and line ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "data/byte_source.h"

namespace genflow::data {

class CsvReader {
 public:
  static constexpr size_t kMaxRecord = 64 << 20;  // bytes

  // `lines` must outlive this. `delimiter`: '\0' takes the one of ',', '\t', ';', '|' that the header has
  // most of.
  CsvReader(LineReader* lines, char delimiter, size_t max_record = kMaxRecord)
      : lines_(lines), delimiter_(delimiter), max_record_(max_record) {}

  // The next record's fields; false at the end. Empty lines are skipped. kInvalid for text after a closing
  // quote: the message does not say where, and the next call gives the next record. With any other error,
  // which begins with "FILE:LINE: ", there is no going on: kCorrupt for a quote that is never closed or a
  // record over `max_record` bytes, which may be one.
  Result<bool> Next(std::vector<std::string>* fields);
  // First line of the record that Next() gave.
  uint64_t line() const { return first_line_; }

 private:
  // Reads on in the record, of which `*size` bytes are read; false at the end of the file.
  Result<bool> NextLine(std::string_view* line, size_t* size);
  Error Lost(const std::string& what) const;

  LineReader* lines_;
  char delimiter_;
  size_t max_record_;
  uint64_t first_line_ = 0;
};

// {"header":"value",...}; kInvalid when a record has more or fewer fields than the header.
Result<std::string> CsvRecordJson(const std::vector<std::string>& header,
                                  const std::vector<std::string>& fields);

}  // namespace genflow::data
