// data.read: files of any format as a dataset.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "genflow/plugin.hpp"

namespace genflow::stages {

struct DataRead {
  static constexpr const char* kName = "data.read";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "Reads JSONL, JSON, CSV, Parquet, text and manual pages into a dataset.";

  std::vector<std::string> files, exclude, meta_fields, sections;
  std::string format, kind, text_field, id_field, text_unit, delimiter, on_error;
  std::optional<int64_t> limit;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);
};

}  // namespace genflow::stages
