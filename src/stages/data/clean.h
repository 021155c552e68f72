// data.clean: filters, normalisation, redaction and deduplication.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/clean.h"
#include "genflow/plugin.hpp"

namespace genflow::stages {

struct DataClean {
  static constexpr const char* kName = "data.clean";
  static constexpr const char* kVersion = "1.1.0";
  static constexpr const char* kSummary =
      "Normalises, filters, redacts and deduplicates rows, and reports what went.";

  bool nfc = true, strip_control = true, ascii_only = false, dedup = true, near = false;
  std::string whitespace, unique_by;
  int64_t min_chars = 1, min_words = 0;
  std::optional<int64_t> max_chars;
  double min_alpha = 0, max_repeated_lines = 1, max_repeated_words = 1, near_threshold = 0.8;
  int64_t near_shingle_words = 5, near_permutations = 64;
  std::vector<std::string> drop_patterns, require_patterns, drop_ids, redact;

  void Declare(Spec& spec);
  std::string Check() const;
  Outcome Run(Context& context);

 private:
  data::CleanOptions Options() const;
};

}  // namespace genflow::stages
