// A folder of a test's own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/files.h"

namespace genflow {

// New and empty, no other test's and no other process's; removed with what is in it when this goes. Its path
// holds no symbolic link. Throws when the folder cannot be made, which fails the test.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::filesystem::path& parent = testing::TempDir()) {
    std::string path = (std::filesystem::canonical(parent) / "genflow-test-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw std::system_error(errno, std::generic_category(), path);
    path_ = path;
  }
  ~ScratchFolder() {
    const Status removed = RemoveTree(path_);
    EXPECT_TRUE(removed.ok()) << removed.error().ToString();
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace genflow
