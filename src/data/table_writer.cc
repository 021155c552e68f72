#include "data/table_writer.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/io/memory.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <parquet/arrow/writer.h>

#include <memory>
#include <string_view>

#include "base/files.h"
#include "base/strings.h"
#include "data/arrow_status.h"
#include "text/unicode.h"

namespace genflow::data {
namespace {

constexpr int64_t kRowsOfGroup = 1 << 16;
constexpr int kCompressionLevel = 3;

std::shared_ptr<arrow::DataType> ArrowType(ColumnType type) {
  switch (type) {
    case ColumnType::kBool:
      return arrow::boolean();
    case ColumnType::kInt64:
      return arrow::int64();
    case ColumnType::kDouble:
      return arrow::float64();
    case ColumnType::kString:
      return arrow::utf8();
  }
  return nullptr;
}

// All cells of column `index` through a builder of its type; `get` picks the alternative.
template <class Value, class Builder>
Result<std::shared_ptr<arrow::Array>> Column(const TypedTable& table, size_t index, const std::string& what) {
  Builder builder;
  GF_ARROW_OK(what, builder.Reserve(static_cast<int64_t>(table.rows.size())));
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const TableCell& cell = table.rows[row][index];
    if (std::holds_alternative<std::monostate>(cell)) {
      GF_ARROW_OK(what, builder.AppendNull());
      continue;
    }
    const Value* value = std::get_if<Value>(&cell);
    if (value == nullptr) {
      return MakeError(Code::kInternal, what + ": the cell of row " + std::to_string(row + 1) +
                                            " is not of the type of column '" + table.columns[index].name +
                                            "'");
    }
    if constexpr (std::is_same_v<Value, std::string>) {
      GF_ARROW_OK(what,
                  IsUtf8(*value) ? builder.Append(*value) : builder.Append(text::ReplaceInvalidUtf8(*value)));
    } else {
      GF_ARROW_OK(what, builder.Append(*value));
    }
  }
  GF_ARROW(what, auto array, builder.Finish());
  return array;
}

Result<std::shared_ptr<arrow::Array>> ColumnOf(const TypedTable& table, size_t index,
                                               const std::string& what) {
  switch (table.columns[index].type) {
    case ColumnType::kBool:
      return Column<bool, arrow::BooleanBuilder>(table, index, what);
    case ColumnType::kInt64:
      return Column<int64_t, arrow::Int64Builder>(table, index, what);
    case ColumnType::kDouble:
      return Column<double, arrow::DoubleBuilder>(table, index, what);
    case ColumnType::kString:
      return Column<std::string, arrow::StringBuilder>(table, index, what);
  }
  return MakeError(Code::kInternal, what + ": unknown column type");
}

}  // namespace

Status WriteTable(const TypedTable& table, const std::filesystem::path& file) {
  const std::string what = "cannot write '" + file.string() + "'";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    if (table.rows[row].size() == table.columns.size()) continue;
    return MakeError(Code::kInternal, what + ": row " + std::to_string(row + 1) + " has " +
                                          std::to_string(table.rows[row].size()) + " cells, not " +
                                          std::to_string(table.columns.size()));
  }
  arrow::FieldVector fields;
  arrow::ArrayVector columns;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    fields.push_back(arrow::field(table.columns[i].name, ArrowType(table.columns[i].type)));
    GF_TRY(columns.emplace_back(), ColumnOf(table, i, what));
  }
  const auto properties = parquet::WriterProperties::Builder()
                              .created_by("genflow table 1")
                              ->compression(parquet::Compression::ZSTD)
                              ->compression_level(kCompressionLevel)
                              ->disable_statistics()
                              ->enable_page_checksum()
                              ->build();
  const auto arrow_table = arrow::Table::Make(arrow::schema(std::move(fields)), std::move(columns),
                                              static_cast<int64_t>(table.rows.size()));
  GF_ARROW(what, const auto out, arrow::io::BufferOutputStream::Create());
  GF_ARROW_OK(what, parquet::arrow::WriteTable(*arrow_table, arrow::default_memory_pool(), out, kRowsOfGroup,
                                               properties));
  GF_ARROW(what, const auto buffer, out->Finish());
  return WriteFileAtomic(file, std::string_view(*buffer));
}

}  // namespace genflow::data
