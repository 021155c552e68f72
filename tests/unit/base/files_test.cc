#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

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

TEST(Files, WhatIsNoRegularFileIsWrittenInto) {
  const ScratchFolder scratch;
  const fs::path pipe = scratch.path() / "pipe", link = scratch.path() / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  fs::create_symlink(pipe, link);
  const Fd reader(::open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(WriteFileAtomic(pipe, "one ").ok());
  ASSERT_TRUE(WriteFileAtomic(link, "two").ok());
  char text[16] = {};
  EXPECT_EQ(::read(reader.get(), text, sizeof text), 7);
  EXPECT_STREQ(text, "one two");
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_TRUE(fs::is_symlink(link));
  const auto full = WriteFileAtomic("/dev/full", "x");
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().message.substr(0, 10), "/dev/full:");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
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
