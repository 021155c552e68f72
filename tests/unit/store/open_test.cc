#include <sys/mount.h>

#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class OpenTest : public StoreTest {
 protected:
  std::string FilledRun() {
    Store store = Open();
    const std::string run = NewRun(store);
    Must(RunStage(store, run, "a", "k1", {{"x", File("content")}, {"y", {{"f", "tree"}}}}));
    Must(RunStage(store, run, "b", "k2", {{"z", File("other")}}));
    Must(store.FinishRun(run, RunStatus::kOk));
    return run;
  }
};

TEST_F(OpenTest, MakesAStoreOnce) {
  {
    Store store = Open();
    EXPECT_EQ(store.root(), root_);
    EXPECT_FALSE(store.read_only());
    EXPECT_TRUE(store.notices().empty());
  }
  EXPECT_EQ(Slurp(root_ / ".gitignore"), "*\n");
  EXPECT_TRUE(Open().notices().empty());
}

TEST_F(OpenTest, RefusesWhatIsNoStore) {
  StoreOptions options;
  options.create = false;
  EXPECT_EQ(Store::Open(root_, options).error().ToString(),
            root_.string() +
                ": there is no run store here\n  hint: run a pipeline first, or say where the store is with "
                "--store");
  EXPECT_FALSE(fs::exists(root_));
  Spill(folder_ / "file", "");
  EXPECT_EQ(Store::Open(folder_ / "file").error().message,
            (folder_ / "file").string() + ": not a folder, so it cannot be the run store");
  fs::create_directory(folder_ / "alien");
  Sql(folder_ / "alien/store.db", "CREATE TABLE theirs (x)");
  EXPECT_EQ(Store::Open(folder_ / "alien").error().ToString(),
            (folder_ / "alien/store.db").string() +
                ": not a genflow store, but the database of another program\n"
                "  hint: use another folder with --store");
}

TEST_F(OpenTest, RefusesAStoreOfANewerGenflow) {
  FilledRun();
  Sql(root_ / "store.db", "PRAGMA user_version=7");
  const auto refused = Store::Open(root_);
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  EXPECT_EQ(refused.error().ToString(),
            (root_ / "store.db").string() +
                ": the store was made by a newer genflow (schema 7, this one knows up to 4)\n"
                "  hint: upgrade genflow, or use another store with --store");
}

TEST_F(OpenTest, StoreOfAnOlderGenflowIsUpgraded) {
  const std::string run = FilledRun();
  Sql(root_ / "store.db",
      "DROP INDEX runs_seq; DROP INDEX runs_pipeline; ALTER TABLE runs DROP COLUMN seq; CREATE INDEX "
      "runs_started ON runs(started); CREATE INDEX runs_pipeline ON runs(pipeline, started); "
      "ALTER TABLE runs DROP COLUMN stages; ALTER TABLE attempts DROP COLUMN retry_at; "
      "ALTER TABLE runs DROP COLUMN origins; PRAGMA user_version=1");
  Store store = Open();
  EXPECT_TRUE(store.notices().empty());
  EXPECT_TRUE(Must(store.GetRun(run)).stages.empty());
  EXPECT_EQ(Must(store.GetRun(run)).origins_json, "{}");
  EXPECT_EQ(Must(store.ListAttempts(run))[0].end.retry_at, 0);
  EXPECT_TRUE(Must(store.Lookup("k1")).hit.has_value());
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
  NewRun(store);
}

TEST_F(OpenTest, RunsOfAnOlderGenflowStayInTheOrderOfTheirTimes) {
  std::vector<std::string> runs;
  {
    Store store = Open();
    for (int i = 0; i < 3; ++i) runs.push_back(NewRun(store));
  }
  Sql(root_ / "store.db",
      "UPDATE runs SET started = started + 9 WHERE id = '" + runs[0] + "'; " +
          "DROP INDEX runs_seq; DROP INDEX runs_pipeline; ALTER TABLE runs DROP COLUMN seq; CREATE INDEX "
          "runs_started ON runs(started); CREATE INDEX runs_pipeline ON runs(pipeline, started); "
          "ALTER TABLE runs DROP COLUMN origins; PRAGMA user_version=2");
  Store store = Open();
  std::vector<std::string> listed;
  for (const RunInfo& run : Must(store.ListRuns())) listed.push_back(run.id);
  EXPECT_THAT(listed, testing::ElementsAre(runs[0], runs[2], runs[1]));
  const std::string next = NewRun(store);
  EXPECT_EQ(Must(store.ResolveRun("latest")), next);
}

// Of them only the objects tell; what runs later is later.
TEST_F(OpenTest, RecoveredRunsComeBeforeAllOthers) {
  std::vector<std::string> runs;
  {
    Store store = Open();
    for (const char* content : {"1", "2", "3"}) {
      runs.push_back(NewRun(store));
      Must(RunStage(store, runs.back(), "a", content, {{"x", File(content)}}));
    }
  }
  fs::remove(root_ / "store.db");
  Store store = Open();
  runs.push_back(NewRun(store));
  std::vector<std::string> listed;
  for (const RunInfo& run : Must(store.ListRuns())) listed.push_back(run.id);
  EXPECT_THAT(listed, testing::ElementsAre(runs[3], runs[2], runs[1], runs[0]));
  EXPECT_EQ(Must(store.ResolveArtifact("a.x")).digest, Sha256Hex("3"));
}

TEST_F(OpenTest, MissingDatabaseIsRebuiltFromTheObjects) {
  const std::string run = FilledRun();
  Spill(root_ / "logs" / run / "a.1.log", "text");
  fs::remove(root_ / "store.db");
  Store store = Open();
  EXPECT_THAT(store.notices(),
              testing::ElementsAre(
                  (root_ / "store.db").string() +
                  " was not there: a new one was made from 3 objects; logs are there, the history of "
                  "runs and their metrics is not"));
  EXPECT_EQ(Must(store.GetRun(run)).status, RunStatus::kRecovered);
  EXPECT_EQ(Must(store.ListAttempts(run))[0].log, (root_ / "logs" / run / "a.1.log").string());
  EXPECT_EQ(Must(store.Lookup("k1")).hit->outputs.size(), 2u);
  EXPECT_EQ(Must(store.Lookup("k2")).hit->outputs.size(), 1u);
  EXPECT_EQ(Must(store.ResolveArtifact(run + ":a.y")).type, "dataset");
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
  EXPECT_TRUE(Must(store.Gc()).objects.empty());
  EXPECT_TRUE(Open().notices().empty());
}

TEST_F(OpenTest, EmptyDatabaseIsRebuiltFromTheObjects) {
  FilledRun();
  fs::resize_file(root_ / "store.db", 0);
  Store store = Open();
  EXPECT_EQ(store.notices().size(), 1u);
  EXPECT_TRUE(Must(store.Lookup("k1")).hit.has_value());
}

TEST_F(OpenTest, RebuildDoesNotTrustDamagedObjects) {
  FilledRun();
  const std::string digest = Sha256Hex("content");
  FlipByte(root_ / "objects" / digest.substr(0, 2) / digest / "data", 0);
  fs::remove(root_ / "store.db");
  Store store = Open();
  EXPECT_THAT(Must(store.Lookup("k1")).problem, testing::EndsWith("is damaged: its content has changed"));
  EXPECT_TRUE(Must(store.Lookup("k2")).hit.has_value());
}

TEST_F(OpenTest, TruncatedDatabaseIsReportedAndRebuiltOnRequest) {
  const std::string run = FilledRun();
  fs::resize_file(root_ / "store.db", 6000);
  const auto refused = Store::Open(root_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCorrupt);
  EXPECT_EQ(refused.error().ToString(),
            (root_ / "store.db").string() +
                ": the store's database is damaged (database disk image is malformed)\n"
                "  hint: `genflow fsck --rebuild` sets it aside and rebuilds it from the objects, which are "
                "intact; "
                "run history and metrics are lost with it");
  {
    Store store = Must(Store::Rebuild(root_));
    ASSERT_EQ(store.notices().size(), 2u);
    EXPECT_THAT(store.notices()[0],
                testing::StartsWith((root_ / "store.db").string() + " was set aside as store.db.damaged-"));
    EXPECT_EQ(Must(store.GetRun(run)).status, RunStatus::kRecovered);
    EXPECT_TRUE(Must(store.Lookup("k1")).hit.has_value());
  }
  int aside = 0;
  for (const auto& entry : fs::directory_iterator(root_)) {
    aside += entry.path().filename().string().starts_with("store.db.damaged-") ? 1 : 0;
  }
  EXPECT_EQ(aside, 1);
}

TEST_F(OpenTest, GarbageForADatabaseIsReported) {
  FilledRun();
  Must(WriteFileAtomic(root_ / "store.db", std::string(8192, 'x')));
  EXPECT_EQ(Store::Open(root_).error().code, Code::kCorrupt);
  EXPECT_THAT(Store::Open(root_).error().message, testing::HasSubstr("damaged (file is not a database)"));
}

TEST_F(OpenTest, RebuildWaitsForNobodyWhoUsesTheStore) {
  Store store = Open();
  NewRun(store);
  const auto refused = Store::Rebuild(root_);
  EXPECT_EQ(refused.error().ToString(), root_.string() + ": process " + std::to_string(::getpid()) +
                                            " is using the store\n  hint: wait for it to finish, or stop it");
}

// Also without a run: SQLite, closing a file that was replaced, would delete the log of the new one.
TEST_F(OpenTest, RebuildIsRefusedWhileTheStoreIsOpen) {
  FilledRun();
  StoreOptions options;
  for (const bool read_only : {false, true}) {
    options.read_only = read_only;
    Store store = Must(Store::Open(root_, options));
    EXPECT_EQ(
        Store::Rebuild(root_).error().ToString(),
        root_.string() + ": another process is using the store\n  hint: wait for it to finish, or stop it");
  }
  Must(Store::Rebuild(root_));
}

TEST_F(OpenTest, ReadOnlyStoreAnswersAndRefusesChanges) {
  const std::string run = FilledRun();
  StoreOptions options;
  options.read_only = true;
  EXPECT_EQ(Store::Open(folder_ / "none", options).error().code, Code::kNotFound);
  Store store = Must(Store::Open(root_, options));
  EXPECT_EQ(Must(store.ListRuns()).size(), 1u);
  EXPECT_TRUE(Must(store.Lookup("k1")).hit.has_value());
  EXPECT_TRUE(Must(store.Fsck()).clean());
  EXPECT_EQ(store.RemoveRun(run).error().ToString(),
            root_.string() +
                ": the store is read-only\n  hint: make its folder writable, or use another with --store");
  Spill(folder_ / "f", "abc");
  EXPECT_EQ(Must(store.DigestFile(folder_ / "f")), Sha256Hex("abc"));
}

TEST_F(OpenTest, ReadOnlyStoreSeesWhatOthersCommitMeanwhile) {
  Store writer = Open();
  StoreOptions options;
  options.read_only = true;
  Store reader = Must(Store::Open(root_, options));
  const std::string run = NewRun(writer);
  Must(RunStage(writer, run, "a", "k1", {{"x", File("content")}}));
  EXPECT_TRUE(Must(reader.Lookup("k1")).hit.has_value());
  EXPECT_EQ(Must(reader.GetRun(run)).status, RunStatus::kRunning);
  EXPECT_TRUE(Must(reader.Fsck()).problems.empty());
}

TEST_F(OpenTest, ReadOnlyFileSystemIsNoticed) {
  FilledRun();
  if (::mount(root_.c_str(), root_.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    GTEST_SKIP() << "bind mounts are not permitted here";
  }
  const bool remounted =
      ::mount(nullptr, root_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0;
  if (remounted) {
    auto store = Store::Open(root_);
    if (store.ok()) {
      EXPECT_TRUE(store->read_only());
      EXPECT_EQ(Must(store->ListRuns()).size(), 1u);
      EXPECT_FALSE(store->StartRun({}).ok());
    } else {
      ADD_FAILURE() << store.error().ToString();
    }
  }
  ASSERT_EQ(::umount(root_.c_str()), 0);
  EXPECT_TRUE(remounted);
}

TEST_F(OpenTest, DeadStagingIsRemovedAndLiveStagingKept) {
  Store store = Open();
  Staging live = Must(store.Stage("key"));
  Spill(Must(live.Output("x")), "being written");
  Spill(root_ / "staging/dead-1/out/x/data", "half");
  Spill(root_ / "staging/dead-1.lock", "{}");
  Spill(root_ / "staging/dead-2.lock", "{}");
  Store other = Open();
  EXPECT_EQ(StagingNames().size(), 2u);  // the live folder and its lock
  EXPECT_EQ(Slurp(Must(live.Output("x"))), "being written");
}

}  // namespace
}  // namespace genflow
