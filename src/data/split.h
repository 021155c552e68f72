// Parts of a dataset that share no group of rows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/dataset.h"

namespace genflow::data {

struct SplitPart {
  std::string name;              // "train", for messages
  std::filesystem::path folder;  // of the new dataset
  // 1 or more: rows; between 0 and 1: share of all rows, rounded; 0: what the other parts leave (one part
  // only).
  double size = 0;
};

struct SplitOptions {
  std::string group_by = "id";  // rows with the same value of this field stay together
  uint64_t seed = 0;
};

struct SplitStats {
  uint64_t rows = 0, groups = 0;
  std::vector<uint64_t> part_rows, part_groups;  // of each part
  uint64_t unused = 0;                           // rows in no part
};

// Deals groups out in the order of the hash of their key: each part in turn takes the groups that still fit
// into its size. Which part a group falls into depends on the seed, the sizes of the parts, and the keys and
// sizes of all groups, not on the order of rows; rows keep their order within a part. Shares that add up to 1
// use every row: where rounding makes them more than that, the largest part gives way. kInvalid when a row
// lacks the field, when the sizes are more than all rows, or when a part would be empty. `progress`: rows
// done of all passes; false stops with kInterrupted.
Result<SplitStats> SplitDataset(const std::filesystem::path& from, const std::vector<SplitPart>& parts,
                                const SplitOptions& options,
                                const std::function<bool(uint64_t done, uint64_t total)>& progress = {});

}  // namespace genflow::data
