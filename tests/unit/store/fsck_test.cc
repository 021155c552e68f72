#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class FsckTest : public StoreTest {
 protected:
  Store Filled() {
    Store store = Open();
    run_ = NewRun(store);
    outputs_ = Must(RunStage(store, run_, "a", "k1", {{"x", File("file content")}, {"y", {{"f", "tree"}}}}));
    Must(RunStage(store, run_, "b", "k2", {{"z", File("other")}},
                  {{"in", outputs_[0].artifact.digest, "file", "a.x"}}));
    Must(store.FinishRun(run_, RunStatus::kOk));
    return store;
  }
  std::string run_;
  std::vector<PortArtifact> outputs_;
};

TEST_F(FsckTest, WholeStoreIsClean) {
  Store store = Filled();
  FsckOptions options;
  uint64_t last = 0, total = 0;
  options.progress = [&](uint64_t done, uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  };
  const FsckReport report = Must(store.Fsck(options));
  EXPECT_TRUE(report.clean());
  EXPECT_TRUE(report.problems.empty());
  EXPECT_EQ(report.objects, 3u);
  EXPECT_EQ(report.files, 3u);
  EXPECT_EQ(report.bytes, 12u + 4u + 5u);
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, report.bytes);
}

TEST_F(FsckTest, RottenBitsBehindAnUnchangedFingerprintAreFound) {
  Store store = Filled();
  const fs::path path = outputs_[0].artifact.path();
  FlipByte(path, 3);
  // What the disk does: the database's fingerprint is that of the damaged file.
  {
    Store other = Open();
    FsckOptions quick;
    quick.hash = false;
    EXPECT_EQ(Must(other.Fsck(quick)).problems.size(), 1u);  // the changed ctime tells
  }
  const FsckReport report = Must(store.Fsck());
  EXPECT_FALSE(report.clean());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].kind, FsckKind::kDamagedObject);
  EXPECT_EQ(report.problems[0].subject, outputs_[0].artifact.digest);
  EXPECT_EQ(report.problems[0].detail, "file a.x: its content has changed");
  EXPECT_THAT(report.problems[0].dependents, testing::ElementsAre(run_ + ":a.x", run_ + ":b.in"));
  EXPECT_TRUE(fs::exists(path));

  FsckOptions repair;
  repair.repair = true;
  EXPECT_TRUE(Must(store.Fsck(repair)).clean());
  EXPECT_FALSE(fs::exists(path));
  EXPECT_FALSE(Must(store.Lookup("k1")).hit.has_value());
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
}

TEST_F(FsckTest, MissingObjectIsFound) {
  Store store = Filled();
  Must(RemoveTree(outputs_[1].artifact.path().parent_path()));
  const FsckReport report = Must(store.Fsck());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].kind, FsckKind::kMissingObject);
  EXPECT_EQ(report.problems[0].detail, "the object of dataset a.y is missing");
  FsckOptions repair;
  repair.repair = true;
  EXPECT_TRUE(Must(store.Fsck(repair)).clean());
  EXPECT_TRUE(Must(store.GetArtifact(outputs_[1].artifact.digest)).lost);
}

TEST_F(FsckTest, DamagedSidecarIsWrittenAnew) {
  Store store = Filled();
  const fs::path sidecar = outputs_[1].artifact.path().parent_path() / "object.json";
  const std::string right = Slurp(sidecar);
  Must(WriteFileAtomic(sidecar, right.substr(0, right.size() / 2)));
  const FsckReport report = Must(store.Fsck());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].kind, FsckKind::kDamagedSidecar);
  EXPECT_EQ(report.problems[0].detail, sidecar.string() + ": not a sidecar of this object (it is not JSON)");
  FsckOptions repair;
  repair.repair = true;
  EXPECT_TRUE(Must(store.Fsck(repair)).clean());
  EXPECT_EQ(Slurp(sidecar), right);
}

TEST_F(FsckTest, ForeignFilesAndLeftoversAreNamed) {
  Store store = Filled();
  Spill(root_ / "objects/note.txt", "hello");
  Spill(root_ / "staging/dead-1/out/x/data", "half");
  const FsckReport report = Must(store.Fsck());
  ASSERT_EQ(report.problems.size(), 2u);
  EXPECT_EQ(report.problems[0].kind, FsckKind::kForeignFile);
  EXPECT_EQ(report.problems[0].subject, (root_ / "objects/note.txt").string());
  EXPECT_EQ(report.problems[1].kind, FsckKind::kLeftover);
  EXPECT_EQ(report.problems[1].subject, (root_ / "staging/dead-1").string());
  FsckOptions repair;
  repair.repair = true;
  Must(store.Fsck(repair));
  EXPECT_FALSE(fs::exists(root_ / "staging/dead-1"));
  EXPECT_TRUE(fs::exists(root_ / "objects/note.txt"));
}

TEST_F(FsckTest, UnregisteredObjectIsRegisteredByRepair) {
  Store store = Filled();
  const fs::path object = outputs_[1].artifact.path().parent_path();
  fs::rename(object, folder_ / "kept");
  Must(store.RemoveRun(run_));
  Must(store.Gc());
  fs::rename(folder_ / "kept", object);
  const FsckReport report = Must(store.Fsck());
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].kind, FsckKind::kUnregisteredObject);
  EXPECT_EQ(report.problems[0].detail, "store.db does not know this object, which is whole");
  EXPECT_TRUE(report.clean());
  FsckOptions repair;
  repair.repair = true;
  EXPECT_TRUE(Must(store.Fsck(repair)).problems[0].repaired);
  EXPECT_EQ(Slurp(Must(store.ResolveArtifact("a.y")).path() / "f"), "tree");
}

TEST_F(FsckTest, DamagedDatabaseIsReported) {
  { Store store = Filled(); }
  // A page in the middle of the file, as a bad disk sector would leave it.
  const auto size = fs::file_size(root_ / "store.db");
  const Fd fd(::open((root_ / "store.db").c_str(), O_WRONLY));
  const std::string junk(4096, '\x5a');
  for (uint64_t at = 4096; at + 4096 <= size; at += 4096) {
    ASSERT_EQ(::pwrite(fd.get(), junk.data(), junk.size(), static_cast<off_t>(at)), 4096);
  }
  auto opened = Store::Open(root_);
  const Code code = opened.ok() ? opened->Fsck().error().code : opened.error().code;
  EXPECT_EQ(code, Code::kCorrupt);
  Store rebuilt = Must(Store::Rebuild(root_));
  EXPECT_TRUE(Must(rebuilt.Fsck()).clean());
  EXPECT_TRUE(Must(rebuilt.Lookup("k1")).hit.has_value());
}

}  // namespace
}  // namespace genflow
