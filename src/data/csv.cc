#include "data/csv.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace genflow::data {

Error CsvReader::Lost(const std::string& what) const {
  return MakeError(Code::kCorrupt, lines_->name() + ":" + std::to_string(first_line_) + ": " + what,
                   "a quote that belongs to a quoted field is written twice: \"\"");
}

Result<bool> CsvReader::NextLine(std::string_view* line, size_t* size) {
  GF_TRY(const bool more, lines_->Next(line));
  if (!more) return false;
  if (*size == 0) first_line_ = lines_->line();
  *size += line->size() + 1;
  if (*size > max_record_) return Lost("the record is longer than " + HumanBytes(max_record_));
  return true;
}

Result<bool> CsvReader::Next(std::vector<std::string>* fields) {
  fields->clear();
  std::string_view line;
  size_t size;
  do {
    size = 0;
    GF_TRY(const bool more, NextLine(&line, &size));
    if (!more) return false;
  } while (line.empty());
  if (first_line_ == 1 && line.substr(0, 3) == "\xEF\xBB\xBF") line.remove_prefix(3);
  if (delimiter_ == '\0') {
    size_t most = 0;
    delimiter_ = ',';
    for (const char candidate : {',', '\t', ';', '|'}) {
      const auto count = static_cast<size_t>(std::count(line.begin(), line.end(), candidate));
      if (count > most) {
        most = count;
        delimiter_ = candidate;
      }
    }
  }
  size_t at = 0;
  while (true) {
    std::string& field = fields->emplace_back();
    if (at < line.size() && line[at] == '"') {
      ++at;
      while (true) {
        const size_t quote = line.find('"', at);
        if (quote == std::string_view::npos) {
          field += line.substr(at);
          field += '\n';
          GF_TRY(const bool more, NextLine(&line, &size));
          if (!more) return Lost("a quoted field is never closed");
          at = 0;
          continue;
        }
        field += line.substr(at, quote - at);
        at = quote + 1;
        if (at < line.size() && line[at] == '"') {
          field += '"';
          ++at;
          continue;
        }
        break;
      }
      if (at < line.size() && line[at] != delimiter_)
        return InvalidError("text stands after a closing quote");
    } else {
      const size_t stop = std::min(line.find(delimiter_, at), line.size());
      field = line.substr(at, stop - at);
      at = stop;
    }
    if (at >= line.size()) return true;
    ++at;  // the delimiter
  }
}

Result<std::string> CsvRecordJson(const std::vector<std::string>& header,
                                  const std::vector<std::string>& fields) {
  if (fields.size() != header.size()) {
    return InvalidError("the record has " + std::to_string(fields.size()) +
                        " fields where the header names " + std::to_string(header.size()));
  }
  nlohmann::ordered_json record = nlohmann::ordered_json::object();
  for (size_t i = 0; i < header.size(); ++i) record[header[i]] = fields[i];
  try {
    return record.dump();
  } catch (const nlohmann::json::exception&) {
    return InvalidError("the record is not UTF-8");
  }
}

}  // namespace genflow::data
