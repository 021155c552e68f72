// A table of typed columns as one Parquet file (zstd), for tools that read columns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace genflow::data {

enum class ColumnType { kBool, kInt64, kDouble, kString };

struct TableColumn {
  std::string name;
  ColumnType type;
};

// A value; monostate is null.
using TableCell = std::variant<std::monostate, bool, int64_t, double, std::string>;

struct TypedTable {
  std::vector<TableColumn> columns;
  std::vector<std::vector<TableCell>>
      rows;  // each as long as `columns`; a cell is null or of its column's type
};

// Replaces `file` by the table, whole or not at all. Equal tables give equal bytes. Text that is not UTF-8
// has U+FFFD in the places that are not.
Status WriteTable(const TypedTable& table, const std::filesystem::path& file);

}  // namespace genflow::data
