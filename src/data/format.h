// Rows of one kind made into rows of another by templates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"

namespace genflow::data {

struct FormatOptions {
  Kind to = Kind::kMessages;
  // Templates (data/template.h). A message whose template is empty is left out; messages need `user`.
  std::string system, assistant;
  std::vector<std::string> user;  // variants: a row takes one by the hash of its id
  std::string prompt, chosen, rejected;
  std::string text;
  uint64_t seed = 0;
  bool fail_on_empty = false;  // instead of leaving out rows whose templates name a missing or empty field
};

struct FormatStats {
  uint64_t rows_in = 0, rows_out = 0;
  std::map<std::string, uint64_t> dropped;  // rows left out, by the field that was missing or empty
};

// What is wrong with the templates as such, before any data is seen. The message begins with the option's
// name.
Status CheckFormat(const FormatOptions& options);

// Formats the dataset `from` into a new one at `folder`. Row ids and meta are kept. kInvalid for a field that
// the kind of `from` does not have or that no row has in meta, unless the template has a default for it (with
// a suggestion), and when no row is left.
Result<FormatStats> FormatDataset(const std::filesystem::path& from, const FormatOptions& options,
                                  const std::filesystem::path& folder,
                                  const std::function<bool(uint64_t done, uint64_t total)>& progress = {});

}  // namespace genflow::data
