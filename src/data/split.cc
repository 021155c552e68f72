#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/strings.h"
#include "data/fields.h"
#include "data/stable_hash.h"

namespace genflow::data {
namespace {

struct Group {
  uint64_t hash = 0;
  uint64_t rows = 0;
};

// Rows that each part wants; the part that takes the rest wants what is left.
Result<std::vector<uint64_t>> Targets(const std::vector<SplitPart>& parts, uint64_t rows) {
  std::vector<uint64_t> targets;
  uint64_t sum = 0;
  std::vector<std::string> words;
  for (const auto& part : parts) {
    uint64_t target = 0;
    if (part.size >= 1) {
      target = static_cast<uint64_t>(part.size);
    } else if (part.size > 0) {
      target =
          std::max<uint64_t>(1, static_cast<uint64_t>(std::llround(part.size * static_cast<double>(rows))));
    }
    if (part.size > 0) words.push_back(part.name + " " + WithCommas(static_cast<int64_t>(target)));
    sum += target;
    targets.push_back(target);
  }
  const bool shares =
      std::all_of(parts.begin(), parts.end(), [](const SplitPart& part) { return part.size < 1; });
  if (shares && sum > rows && sum - rows < parts.size()) {
    // Each share was rounded by itself.
    *std::max_element(targets.begin(), targets.end()) -= sum - rows;
    sum = rows;
  }
  if (sum > rows) {
    return InvalidError("the parts want " + WithCommas(static_cast<int64_t>(sum)) + " rows (" +
                            Join(words, ", ") + ") where the dataset has " +
                            WithCommas(static_cast<int64_t>(rows)),
                        "ask for fewer rows, or for shares such as 0.1");
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].size == 0) targets[i] = rows - sum;
  }
  return targets;
}

// The part of each group. Parts with a size choose first.
std::unordered_map<uint64_t, uint32_t> Deal(const std::vector<Group>& groups,
                                            const std::vector<SplitPart>& parts,
                                            const std::vector<uint64_t>& targets, SplitStats* stats) {
  std::vector<size_t> order;
  for (size_t i = 0; i < parts.size(); ++i) order.push_back(i);
  // Test and validation sets stay the same when the training set's size is changed.
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return (parts[a].name == "train" || parts[a].size == 0) <
           (parts[b].name == "train" || parts[b].size == 0);
  });
  std::unordered_map<uint64_t, uint32_t> part_of;
  part_of.reserve(groups.size());
  for (const size_t part : order) {
    for (const auto& group : groups) {
      const bool takes_rest = parts[part].size == 0;
      const bool fits = takes_rest || stats->part_rows[part] + group.rows <= targets[part];
      if (!fits || part_of.contains(group.hash)) continue;
      part_of.emplace(group.hash, static_cast<uint32_t>(part));
      stats->part_rows[part] += group.rows;
      ++stats->part_groups[part];
      if (!takes_rest && stats->part_rows[part] == targets[part]) break;
    }
  }
  return part_of;
}

}  // namespace

Result<SplitStats> SplitDataset(const std::filesystem::path& from, const std::vector<SplitPart>& parts,
                                const SplitOptions& options,
                                const std::function<bool(uint64_t done, uint64_t total)>& progress) {
  GF_TRY(DatasetReader reader, DatasetReader::Open(from));
  GF_CHECK_OK(CheckFieldPath(options.group_by, reader.kind()));
  const uint64_t rows = reader.rows();
  uint64_t done = 0;
  const auto tick = [&]() -> Status {
    if (++done % 1024 != 0 || !progress || progress(done, 2 * rows)) return Ok();
    return MakeError(Code::kInterrupted, "splitting was interrupted");
  };

  FieldReader fields;
  AnyRow row;
  const auto key_of = [&]() -> Result<uint64_t> {
    fields.Set(row);
    const auto key = fields.Get(options.group_by);
    if (!key) {
      return InvalidError("row '" + IdOf(row) + "' has no " + options.group_by + " to group by",
                          "group_by: id keeps each row a group of its own");
    }
    return StableHash(*key, options.seed);
  };

  std::unordered_map<uint64_t, uint64_t> sizes;
  while (true) {
    GF_TRY(const bool more, reader.Next(&row));
    if (!more) break;
    GF_TRY(const uint64_t key, key_of());
    ++sizes[key];
    GF_CHECK_OK(tick());
  }
  std::vector<Group> groups;
  groups.reserve(sizes.size());
  for (const auto& [hash, count] : sizes) groups.push_back({hash, count});
  std::sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.hash < b.hash; });

  SplitStats stats;
  stats.rows = rows;
  stats.groups = groups.size();
  stats.part_rows.resize(parts.size());
  stats.part_groups.resize(parts.size());
  GF_TRY(const auto targets, Targets(parts, rows));
  const auto part_of = Deal(groups, parts, targets, &stats);
  stats.unused = rows;
  for (size_t i = 0; i < parts.size(); ++i) {
    stats.unused -= stats.part_rows[i];
    if (stats.part_rows[i] == 0) {
      return InvalidError("the part '" + parts[i].name + "' would be empty: the dataset has " +
                              Counted(rows, "row") + " in " + Counted(groups.size(), "group") + " of " +
                              options.group_by,
                          "give it a larger size, more data, or group by another field");
    }
  }

  std::vector<DatasetWriter> writers;
  for (const auto& part : parts) {
    GF_TRY(DatasetWriter writer, DatasetWriter::Create(part.folder, reader.kind()));
    writers.push_back(std::move(writer));
  }
  GF_CHECK_OK(reader.Rewind());
  while (true) {
    GF_TRY(const bool more, reader.Next(&row));
    if (!more) break;
    GF_TRY(const uint64_t key, key_of());
    if (const auto found = part_of.find(key); found != part_of.end())
      GF_CHECK_OK(writers[found->second].Append(row));
    GF_CHECK_OK(tick());
  }
  for (auto& writer : writers) GF_CHECK_OK(writer.Finish());
  return stats;
}

}  // namespace genflow::data
