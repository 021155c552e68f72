// Reads files of a test's own folder into a dataset.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/read.h"
#include "test_folder.h"

namespace genflow::data {

class ReadTest : public FolderTest {
 protected:
  Result<ReadStats> Read(const std::vector<std::filesystem::path>& files, const ReadOptions& options = {}) {
    EXPECT_TRUE(RemoveTree(root_ / "out").ok());
    return ReadFiles(files, options, root_ / "out", {});
  }
  std::string ErrorOf(const std::vector<std::filesystem::path>& files, const ReadOptions& options = {}) {
    const auto stats = Read(files, options);
    return stats.ok() ? "no error" : stats.error().ToString();
  }
};

}  // namespace genflow::data
