#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "testing/scratch.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

TEST(Files, AtomicWriteReplacesAndLeavesNothingBeside) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(WriteFileAtomic(folder / "a", "one").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "a", "two").ok());
  EXPECT_EQ(*ReadFile(folder / "a"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
  EXPECT_EQ(WriteFileAtomic(folder / "no" / "b", "x").error().code, Code::kNotFound);
}

TEST(Files, RemoveTreeTakesReadOnlyFolders) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(MakeDirectories(folder / "x/y").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "x/y/z", "1").ok());
  ::chmod((folder / "x/y").c_str(), 0555);
  ::chmod((folder / "x").c_str(), 0555);
  ASSERT_TRUE(RemoveTree(folder / "x").ok());
  EXPECT_FALSE(fs::exists(folder / "x"));
  EXPECT_TRUE(RemoveTree(folder / "x").ok());
}

TEST(Files, MapsWholeFiles) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(WriteFileAtomic(folder / "a", "hello").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "empty", "").ok());
  auto map = MappedFile::Open(folder / "a");
  ASSERT_TRUE(map.ok());
  EXPECT_EQ(map->text(), "hello");
  EXPECT_EQ(MappedFile::Open(folder / "empty")->size(), 0u);
  EXPECT_EQ(MappedFile::Open(folder).error().code, Code::kInvalid);
}

TEST(Files, ReadFileHonoursItsLimit) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(WriteFileAtomic(folder / "a", "hello").ok());
  EXPECT_EQ(ReadFile(folder / "a", 3).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace genflow
