#include "data/table_writer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "data/parquet_rows.h"
#include "testing/scratch.h"

namespace genflow::data {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

TypedTable Measurements() {
  return {{{"name", ColumnType::kString},
           {"count", ColumnType::kInt64},
           {"share", ColumnType::kDouble},
           {"good", ColumnType::kBool}},
          {{std::string("a\n\"b\""), int64_t{-3}, 0.1, true},
           {std::string(), std::numeric_limits<int64_t>::max(), std::nan(""), false},
           {std::monostate{}, std::monostate{}, std::monostate{}, std::monostate{}}}};
}

std::vector<std::string> JsonOf(const fs::path& file) {
  std::vector<std::string> out;
  const auto rows = ParquetRows::Open(file);
  EXPECT_TRUE(rows.ok()) << rows.error().ToString();
  if (!rows.ok()) return out;
  std::string row;
  while ((*rows)->Next(&row).value()) out.push_back(row);
  return out;
}

TEST(TableWriter, KeepsTypesValuesAndNulls) {
  const ScratchFolder scratch;
  const Status status = WriteTable(Measurements(), scratch / "t.parquet");
  ASSERT_TRUE(status.ok()) << status.error().ToString();
  EXPECT_THAT(JsonOf(scratch / "t.parquet"),
              ElementsAre(R"({"name":"a\u000a\"b\"","count":-3,"share":0.1,"good":true})",
                          R"({"name":"","count":9223372036854775807,"share":null,"good":false})", "{}"));
}

TEST(TableWriter, ReplacesWhatIsThereAndLeavesNothingBeside) {
  const ScratchFolder scratch;
  ASSERT_TRUE(WriteFileAtomic(scratch / "t.parquet", "old").ok());
  ASSERT_TRUE(WriteTable(Measurements(), scratch / "t.parquet").ok());
  const std::string once = ReadFile(scratch / "t.parquet").value();
  ASSERT_TRUE(WriteTable(Measurements(), scratch / "t.parquet").ok());
  EXPECT_EQ(ReadFile(scratch / "t.parquet").value(), once) << "equal tables, equal bytes";
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), fs::directory_iterator()), 1);
}

TEST(TableWriter, TakesNoRowsAndManyGroups) {
  const ScratchFolder scratch;
  TypedTable table{{{"n", ColumnType::kInt64}}, {}};
  ASSERT_TRUE(WriteTable(table, scratch / "none.parquet").ok());
  EXPECT_EQ(ParquetRows::Open(scratch / "none.parquet").value()->rows(), 0u);
  for (int64_t i = 0; i < 150'000; ++i) table.rows.push_back({i});
  ASSERT_TRUE(WriteTable(table, scratch / "many.parquet").ok());
  const auto rows = JsonOf(scratch / "many.parquet");
  ASSERT_EQ(rows.size(), 150'000u);
  EXPECT_EQ(rows.back(), R"({"n":149999})");
}

TEST(TableWriter, TextThatIsNotUtf8IsMadeSo) {
  const ScratchFolder scratch;
  const TypedTable table{{{"answer", ColumnType::kString}}, {{std::string("cut \xe2\x82")}}};
  ASSERT_TRUE(WriteTable(table, scratch / "t.parquet").ok());
  EXPECT_THAT(JsonOf(scratch / "t.parquet"), ElementsAre("{\"answer\":\"cut \xef\xbf\xbd\"}"));
}

TEST(TableWriter, RefusesRowsThatDoNotFitTheColumns) {
  const ScratchFolder scratch;
  const fs::path file = scratch / "t.parquet";
  const std::string what = "cannot write '" + file.string() + "': ";
  TypedTable table = Measurements();
  table.rows[1][1] = 1.0;
  EXPECT_EQ(WriteTable(table, file).error().message,
            what + "the cell of row 2 is not of the type of column 'count'");
  table.rows[2].pop_back();
  EXPECT_EQ(WriteTable(table, file).error().message, what + "row 3 has 3 cells, not 4");
  EXPECT_FALSE(fs::exists(file));
}

TEST(TableWriter, AFolderThatIsNotThere) {
  const ScratchFolder scratch;
  const auto status = WriteTable(Measurements(), scratch / "no/t.parquet");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace genflow::data
