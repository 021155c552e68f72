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
  // `lines` must outlive this. `delimiter`: '\0' takes the one of ',', '\t', ';', '|' that the header has
  // most of.
  CsvReader(LineReader* lines, char delimiter) : lines_(lines), delimiter_(delimiter) {}

  // The next record's fields; false at the end. Empty lines are skipped. kInvalid for a quote that is never
  // closed or text after a closing quote; the message does not say where.
  Result<bool> Next(std::vector<std::string>* fields);
  // First line of the record that Next() gave.
  uint64_t line() const { return first_line_; }

 private:
  LineReader* lines_;
  char delimiter_;
  uint64_t first_line_ = 0;
};

// {"header":"value",...}; kInvalid when a record has more or fewer fields than the header.
Result<std::string> CsvRecordJson(const std::vector<std::string>& header,
                                  const std::vector<std::string>& fields);

}  // namespace genflow::data
