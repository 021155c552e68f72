// A disk that is full: a small one is mounted for it.
#include "store/ballast.h"

#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class BallastTest : public StoreTest {
 protected:
  void SetUp() override {
    fs::create_directories(disk_);
    if (::mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=24m") != 0)
      GTEST_SKIP() << "a small file system cannot be mounted here: " << std::strerror(errno);
    mounted_ = true;
    root_ = disk_ / ".genflow";
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(::umount2(disk_.c_str(), MNT_DETACH), 0);
    }
  }

  void FillDisk() const {
    std::ofstream out(disk_ / "filler", std::ios::binary | std::ios::app);
    const std::string block(4096, 'x');
    while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
    struct statvfs info {};
    ASSERT_EQ(::statvfs(disk_.c_str(), &info), 0);
    ASSERT_EQ(info.f_bavail, 0u);
  }
  uint64_t Size() const {
    std::error_code ec;
    const auto size = fs::file_size(root_ / "ballast", ec);
    return ec ? 0 : size;
  }

  std::string FinishedRun(Store& store, const std::string& content) {
    const std::string run = NewRun(store);
    Must(RunStage(store, run, "a", "key " + content.substr(0, 1), {{"x", File(content)}}));
    Must(store.FinishRun(run, RunStatus::kOk));
    return run;
  }

  const fs::path disk_ = folder_ / "disk";
  bool mounted_ = false;
};

TEST_F(BallastTest, IsGivenInPartsAndOnlyOnAFullDisk) {
  fs::create_directories(root_);
  const Ballast ballast(root_ / "ballast");
  EXPECT_FALSE(ballast.GiveSome()) << "there is none";
  ballast.Fill();
  EXPECT_EQ(Size(), 1u << 20);
  EXPECT_FALSE(ballast.GiveSome()) << "there is room";
  EXPECT_EQ(Size(), 1u << 20);
  FillDisk();
  EXPECT_TRUE(ballast.GiveSome());
  EXPECT_EQ(Size(), (1u << 20) - (1u << 16));
  EXPECT_FALSE(ballast.GiveSome()) << "there is room again";
  EXPECT_TRUE(ballast.GiveAll()) << "but not for much";
  EXPECT_EQ(Size(), 0u);
  FillDisk();
  EXPECT_FALSE(ballast.GiveAll()) << "there is none left";
  ballast.Fill();
  EXPECT_EQ(Size(), 0u) << "not where others need the room";
  fs::remove(disk_ / "filler");
  ballast.Fill();
  EXPECT_EQ(Size(), 1u << 20);
}

TEST_F(BallastTest, AStoreOnAFullDiskCanBeReadAndCleanedUp) {
  std::vector<std::string> runs;
  {
    Store store = Open();
    for (const char first : {'1', '2', '3'}) runs.push_back(FinishedRun(store, std::string(1 << 20, first)));
  }
  EXPECT_EQ(Size(), 1u << 20);
  FillDisk();
  StoreOptions options;
  options.read_only = true;
  for (int i = 0; i < 3; ++i) {
    Store store = Must(Store::Open(root_, options));
    EXPECT_EQ(Must(store.ListRuns()).size(), 3u);
    EXPECT_TRUE(Must(store.Fsck()).clean());
  }
  EXPECT_GT(Size(), 1u << 19) << "looking takes little";
  FillDisk();
  {
    Store store = Open();
    FillDisk();
    EXPECT_EQ(store.StartRun({}).error().code, Code::kExhausted) << "it is kept for what frees space";
    GcOptions gc;
    gc.keep_last = 1;
    EXPECT_EQ(Must(store.Gc(gc)).runs.size(), 2u);
    EXPECT_EQ(Must(store.ResolveRun("latest")), runs[2]);
    EXPECT_TRUE(Must(store.Fsck()).clean());
    NewRun(store);
  }
  fs::remove(disk_ / "filler");
  Open();
  EXPECT_EQ(Size(), 1u << 20) << "made again";
}

TEST_F(BallastTest, ARunIsRemovedFromAFullDisk) {
  std::string run;
  {
    Store store = Open();
    run = FinishedRun(store, "content");
  }
  FillDisk();
  Store store = Open();
  FillDisk();
  Must(store.RemoveRun(run));
  EXPECT_TRUE(Must(store.ListRuns()).empty());
}

// What a process that was killed has left in the log of the database is read on a full disk too.
TEST_F(BallastTest, ALogWithoutItsIndexIsReadOnAFullDisk) {
  const pid_t child = ::fork();
  if (child == 0) {
    Store store = Open();
    FinishedRun(store, "content");
    std::_Exit(0);  // closes nothing
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_GT(fs::file_size(root_ / "store.db-wal"), 0u);
  fs::remove(root_ / "store.db-shm");
  FillDisk();
  StoreOptions options;
  options.read_only = true;
  EXPECT_EQ(Must(Must(Store::Open(root_, options)).ListRuns()).size(), 1u);
}

}  // namespace
}  // namespace genflow
