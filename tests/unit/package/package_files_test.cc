#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "stages/package/files.h"
#include "testing/scratch.h"

namespace genflow::stages {
namespace {

namespace fs = std::filesystem;

TEST(PackageFiles, CopyTreeKeepsBytesAndMakesThemWritable) {
  const ScratchFolder scratch;
  const fs::path from = scratch / "from", to = scratch / "to";
  ASSERT_TRUE(MakeDirectories(to).ok());
  ASSERT_TRUE(MakeDirectories(from / "sub").ok());
  ASSERT_TRUE(WriteFileAtomic(from / "a.json", "{}").ok());
  ASSERT_TRUE(WriteFileAtomic(from / "sub" / "b", std::string("\0x", 2), 0444).ok());
  ASSERT_TRUE(CopyTree(from, to / "adapter").ok());
  EXPECT_EQ(ReadFile(to / "adapter" / "a.json").value(), "{}");
  EXPECT_EQ(ReadFile(to / "adapter" / "sub" / "b").value(), std::string("\0x", 2));
  EXPECT_NE(fs::status(to / "adapter" / "sub" / "b").permissions() & fs::perms::owner_write, fs::perms::none);
  const Status missing = CopyTree(from / "none", to);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message, (from / "none").string() + ": No such file or directory");
}

TEST(PackageFiles, LicensesByName) {
  const ScratchFolder from_folder, to_folder;
  const fs::path from = from_folder.path(), to = to_folder.path();
  for (const char* name : {"LICENSE", "license.txt", "Notice.md", "COPYING", "README.md", "config.json"}) {
    ASSERT_TRUE(WriteFileAtomic(from / name, name).ok());
  }
  EXPECT_EQ(CopyLicenses(from, to).value(),
            (std::vector<std::string>{"COPYING", "LICENSE", "Notice.md", "license.txt"}));
  EXPECT_EQ(ReadFile(to / "license.txt").value(), "license.txt");
  EXPECT_FALSE(fs::exists(to / "README.md"));
}

// Digests by sha256sum.
TEST(PackageFiles, ChecksumsAsSha256sumWritesThem) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  ASSERT_TRUE(MakeDirectories(folder / "z").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "z" / "empty", "").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "abc", "abc").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "SHA256SUMS", "stale").ok());
  ASSERT_TRUE(WriteChecksums(folder).ok());
  EXPECT_EQ(ReadFile(folder / "SHA256SUMS").value(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc\n"
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  z/empty\n");
}

}  // namespace
}  // namespace genflow::stages
