// A folder of its own for each test, and datasets in it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "data/dataset.h"
#include "testing/scratch.h"

namespace genflow::data {

class FolderTest : public testing::Test {
 protected:
  std::filesystem::path Put(const std::string& name, std::string_view bytes) const {
    const auto path = root_ / name;
    EXPECT_TRUE(MakeDirectories(path.parent_path()).ok());
    EXPECT_TRUE(WriteFileAtomic(path, bytes).ok());
    return path;
  }

  template <class Row>
  std::filesystem::path PutDataset(const std::string& name, const std::vector<Row>& rows) const {
    const auto folder = root_ / name;
    auto writer = DatasetWriter::Create(folder, KindOf(AnyRow(Row{})));
    EXPECT_TRUE(writer.ok());
    for (const auto& row : rows) {
      const auto status = writer->Append(row);
      EXPECT_TRUE(status.ok()) << status.error().ToString();
    }
    EXPECT_TRUE(writer->Finish().ok());
    return folder;
  }

  template <class Row>
  static std::vector<Row> RowsOf(const std::filesystem::path& folder) {
    std::vector<Row> rows;
    auto reader = DatasetReader::Open(folder);
    EXPECT_TRUE(reader.ok()) << reader.error().ToString();
    if (!reader.ok()) return rows;
    Row row;
    while (true) {
      const auto more = reader->Next(&row);
      EXPECT_TRUE(more.ok()) << more.error().ToString();
      if (!more.ok() || !*more) return rows;
      rows.push_back(row);
    }
  }

  const ScratchFolder scratch_;
  const std::filesystem::path root_ = scratch_.path();
};

}  // namespace genflow::data
