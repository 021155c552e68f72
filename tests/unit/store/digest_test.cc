#include <sqlite3.h>

#include <chrono>

#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class DigestTest : public StoreTest {
 protected:
  // As if every digest had been made 3 s later, so that it is believed.
  static constexpr char kOldEnough[] = "UPDATE file_digests SET checked_ns = checked_ns + 3000000000";

  void Sql(const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((root_ / "store.db").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
};

TEST_F(DigestTest, FileDigestFollowsLinks) {
  Store store = Open();
  Spill(folder_ / "f", "abc");
  fs::create_symlink("f", folder_ / "l");
  EXPECT_EQ(Must(store.DigestFile(folder_ / "f")), Sha256Hex("abc"));
  EXPECT_EQ(Must(store.DigestFile(folder_ / "l")), Sha256Hex("abc"));
  EXPECT_EQ(store.DigestFile(folder_ / "none").error().message,
            (folder_ / "none").string() + ": No such file or directory");
  EXPECT_EQ(store.DigestFile(folder_).error().message, folder_.string() + ": is a folder, not a file");
}

TEST_F(DigestTest, RacilyCleanFileIsReadAgain) {
  Store store = Open();
  const fs::path path = folder_ / "f";
  Spill(path, "one");
  ASSERT_EQ(Must(store.DigestFile(path)), Sha256Hex("one"));
  {
    const Fd fd(::open(path.c_str(), O_WRONLY));
    ASSERT_EQ(::pwrite(fd.get(), "two", 3, 0), 3);
  }
  // As if the write had come within one tick of the clock: the row of "one" has the times of "two".
  struct stat now {};
  ASSERT_EQ(::stat(path.c_str(), &now), 0);
  auto nanoseconds = [](const struct timespec& t) {
    return std::to_string(t.tv_sec * 1'000'000'000ll + t.tv_nsec);
  };
  const std::string racy = "UPDATE file_digests SET mtime_ns = " + nanoseconds(now.st_mtim) +
                           ", ctime_ns = " + nanoseconds(now.st_ctim);
  Sql(racy);
  EXPECT_EQ(Must(store.DigestFile(path)), Sha256Hex("two"));
  // The same row is believed when it was made long enough after the file's times.
  Sql(racy + ", digest = 'remembered', checked_ns = " + nanoseconds(now.st_ctim) + " + 2000000000");
  EXPECT_EQ(Must(store.DigestFile(path)), "remembered");
}

TEST_F(DigestTest, ChangedFileIsReadAgain) {
  Store store = Open();
  const fs::path path = folder_ / "f";
  Spill(path, "one");
  ASSERT_EQ(Must(store.DigestFile(path)), Sha256Hex("one"));
  Sql(kOldEnough);
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  {
    const Fd fd(::open(path.c_str(), O_WRONLY));
    ASSERT_EQ(::pwrite(fd.get(), "two", 3, 0), 3);
  }
  // Even with its old mtime restored: the ctime tells.
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_EQ(Must(store.DigestFile(path)), Sha256Hex("two"));
}

TEST_F(DigestTest, WarmDigestsComeFromTheDatabase) {
  Store store = Open();
  std::vector<fs::path> paths;
  for (int i = 0; i < 2000; ++i) {
    paths.push_back(folder_ / "pages" / ("p" + std::to_string(i)));
    Spill(paths.back(), "page " + std::to_string(i));
  }
  const auto cold = Must(store.DigestFiles(paths));
  Sql(kOldEnough);
  const auto start = std::chrono::steady_clock::now();
  const auto warm = Must(store.DigestFiles(paths));
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  ASSERT_EQ(warm.size(), 2000u);
  for (size_t i = 0; i < warm.size(); ++i) {
    ASSERT_EQ(warm[i].digest, cold[i].digest);
    ASSERT_EQ(warm[i].digest, Sha256Hex("page " + std::to_string(i)));
    ASSERT_EQ(warm[i].path, paths[i]);
  }
  RecordProperty("warm_2000_ms", std::to_string(ms));
  EXPECT_LT(ms, 300) << "about 10 ms on an idle machine";
}

TEST_F(DigestTest, TreeDigestIsTheArtifactDigest) {
  Store store = Open();
  const std::string run = NewRun(store);
  const Tree tree = {{"a", "one"}, {"d/b", "two"}};
  const auto made = Must(RunStage(store, run, "s", "k", {{"x", tree}}));
  SpillTree(folder_ / "t", tree);
  EXPECT_EQ(Must(store.DigestTree(folder_ / "t")), made[0].artifact.digest);
  fs::create_symlink("t", folder_ / "link");
  EXPECT_EQ(Must(store.DigestTree(folder_ / "link")), made[0].artifact.digest);
  Spill(folder_ / "t/a", "One");
  EXPECT_NE(Must(store.DigestTree(folder_ / "t")), made[0].artifact.digest);
  EXPECT_EQ(Must(store.DigestTree(folder_ / "t/a")), Sha256Hex("One"));
}

}  // namespace
}  // namespace genflow
