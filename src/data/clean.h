// Filters, normalisation and deduplication of a dataset, row by row.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"
#include "data/dedup.h"
#include "data/normalize.h"

namespace genflow::data {

// A filter is off at its default. Filters look at all text of a row (ContentOf()) after normalisation and
// redaction.
struct CleanOptions {
  NormalizeOptions normalize;
  std::vector<std::string> redact;  // kinds of Redactor; in texts and in the strings of meta

  uint64_t min_chars = 1;
  uint64_t max_chars = 0;  // 0: no limit
  uint64_t min_words = 0;
  double min_alpha = 0;           // letters of all characters that are no white space
  double max_repeated_lines = 1;  // RepeatedLineShare()
  double max_repeated_words = 1;  // RepeatedWordShare()
  bool ascii_only = false;
  std::vector<std::string> drop_patterns;     // rows whose text matches one go
  std::vector<std::string> require_patterns;  // rows whose text does not match every one go
  std::vector<std::string> drop_ids;          // rows whose id matches one go

  std::string unique_by;  // field of which each value, as it is after redaction, stays once; "" is off
  bool dedup = true;      // texts equal but for case, punctuation and white space
  std::optional<NearOptions> near;
};

struct CleanSample {
  std::string id, text;  // text cut to a few hundred characters
  std::string detail;    // the pattern, the number, or the row it is a copy of
};

struct CleanStats {
  uint64_t rows_in = 0, rows_out = 0;
  uint64_t characters_in = 0, characters_out = 0;
  uint64_t changed = 0;  // rows kept whose text normalisation or redaction changed
  std::map<std::string, uint64_t>
      dropped;  // by reason: "too_short", "pattern", "duplicate", ...; one reason a row
  std::map<std::string, uint64_t> redacted;                 // by kind
  std::map<std::string, std::vector<CleanSample>> samples;  // first rows dropped, by reason
};

// What is wrong with the options as such (patterns, kinds), before any data is seen. The message begins with
// the option's name: "drop_patterns[0]: ...".
Status CheckClean(const CleanOptions& options);

// Cleans the dataset `from` into a new one at `folder`; rows keep their order. Cleaning the result again with
// the same options changes nothing. kInvalid when no row is left.
Result<CleanStats> CleanDataset(const std::filesystem::path& from, const CleanOptions& options,
                                const std::filesystem::path& folder,
                                const std::function<bool(uint64_t done, uint64_t total)>& progress = {});

}  // namespace genflow::data
