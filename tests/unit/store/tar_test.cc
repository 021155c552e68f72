#include "store/tar.h"

#include "store_testing.h"

namespace genflow {
namespace {

class TarTest : public StoreTest {
 protected:
  std::filesystem::path Path() const { return folder_ / "a.tar"; }
  Fd Write() { return Fd(::open(Path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)); }
  Fd Read() { return Fd(::open(Path().c_str(), O_RDONLY | O_CLOEXEC)); }
  static TarEntry Named(const std::string& name) {
    TarEntry entry;
    entry.name = name;
    return entry;
  }
};

TEST_F(TarTest, WhatIsWrittenIsRead) {
  const std::string long_name = "folder/" + std::string(150, 'n') + "/ü", long_target(120, 't');
  {
    const Fd fd = Write();
    TarWriter tar(fd.get());
    TarEntry folder = Named("folder");
    folder.kind = TarEntry::Kind::kFolder;
    Must(tar.Begin(folder));
    TarEntry program = Named(long_name);
    program.executable = true;
    program.mtime = 1700000000;
    Must(tar.Add(program, std::string(1000, 'x')));
    TarEntry link = Named("link");
    link.kind = TarEntry::Kind::kLink;
    link.target = long_target;
    Must(tar.Begin(link));
    Must(tar.Add(Named("empty"), ""));
    Must(tar.Finish());
  }
  const Fd fd = Read();
  TarReader tar(fd.get());
  auto entry = Must(tar.Next());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->name, "folder");
  EXPECT_EQ(entry->kind, TarEntry::Kind::kFolder);
  entry = Must(tar.Next());
  EXPECT_EQ(entry->name, long_name);
  EXPECT_TRUE(entry->executable);
  EXPECT_EQ(entry->mtime, 1700000000);
  EXPECT_EQ(Must(tar.ReadAll(1000)), std::string(1000, 'x'));
  entry = Must(tar.Next());
  EXPECT_EQ(entry->target, long_target);
  entry = Must(tar.Next());
  EXPECT_EQ(entry->name, "empty");
  EXPECT_EQ(entry->size, 0u);
  EXPECT_FALSE(Must(tar.Next()));
}

TEST_F(TarTest, AFileThatIsNotReadIsPassedOver) {
  {
    const Fd fd = Write();
    TarWriter tar(fd.get());
    Must(tar.Add(Named("a"), std::string(5000, 'a')));
    Must(tar.Add(Named("b"), "b"));
    Must(tar.Finish());
  }
  const Fd fd = Read();
  TarReader tar(fd.get());
  ASSERT_TRUE(Must(tar.Next()));
  EXPECT_EQ(Must(tar.Next())->name, "b");
  EXPECT_EQ(Must(tar.ReadAll(1)), "b");
}

TEST_F(TarTest, OtherProgramsReadIt) {
  {
    const Fd fd = Write();
    TarWriter tar(fd.get());
    Must(tar.Add(Named("sub/" + std::string(200, 'n')), "text"));
    Must(tar.Finish());
  }
  const std::string command = "cd '" + folder_.string() + "' && mkdir out && tar -C out -xf a.tar";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(Slurp(folder_ / "out/sub" / std::string(200, 'n')), "text");
}

std::string ErrorOf(const std::filesystem::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  TarReader tar(fd.get());
  while (true) {
    auto entry = tar.Next();
    if (!entry.ok()) {
      EXPECT_EQ(entry.error().code, Code::kCorrupt);
      return entry.error().message;
    }
    if (!*entry) return "";
  }
}

TEST_F(TarTest, DamageIsFound) {
  {
    const Fd fd = Write();
    TarWriter tar(fd.get());
    Must(tar.Add(Named("a"), std::string(5000, 'a')));
    Must(tar.Finish());
  }
  const std::string whole = Slurp(Path());
  EXPECT_EQ(ErrorOf(Path()), "");
  Spill(Path(), "");
  EXPECT_EQ(ErrorOf(Path()), "the archive is damaged: it ends in the middle");
  Spill(Path(), whole.substr(0, 3000));
  EXPECT_EQ(ErrorOf(Path()), "the archive is damaged: it ends in the middle");
  Spill(Path(), whole.substr(0, whole.size() - 512));
  EXPECT_EQ(ErrorOf(Path()), "the archive is damaged: it ends in the middle");
  Spill(Path(), std::string(1024, 'x'));
  EXPECT_EQ(ErrorOf(Path()), "the archive is damaged: it is no tar archive");
  std::string bytes = whole;
  bytes[0] = 'b';
  Spill(Path(), bytes);
  EXPECT_EQ(ErrorOf(Path()), "the archive is damaged: a header is wrong");
}

TEST_F(TarTest, AFileMayNotGrowWhileItIsWritten) {
  const Fd fd = Write();
  TarWriter tar(fd.get());
  TarEntry entry = Named("a");
  entry.size = 3;
  Must(tar.Begin(entry));
  const Status written = tar.Write("four");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().message, "a file grew while it was read");
}

}  // namespace
}  // namespace genflow
