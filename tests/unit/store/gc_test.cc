#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class GcTest : public StoreTest {
 protected:
  std::string FinishedRun(Store& store, const std::string& key, const std::string& content) {
    const std::string run = NewRun(store);
    Must(RunStage(store, run, "a", key, {{"x", File(content)}}));
    Spill(Must(store.LogPath(run, "a", 1)), "log of " + run);
    Must(store.FinishRun(run, RunStatus::kOk));
    return run;
  }
};

TEST_F(GcTest, KeepsWhatRunsReach) {
  Store store = Open();
  FinishedRun(store, "k", "content");
  const GcReport report = Must(store.Gc());
  EXPECT_TRUE(report.objects.empty());
  EXPECT_EQ(report.kept_objects, 1u);
  EXPECT_EQ(report.kept_bytes, 7u);
  EXPECT_TRUE(Must(store.Lookup("k")).hit.has_value());
}

TEST_F(GcTest, RemovedRunFreesItsObjectsAndCacheRows) {
  Store store = Open();
  const std::string run = FinishedRun(store, "k", "content");
  const fs::path object = Must(store.ResolveArtifact("a.x")).path();
  Must(store.RemoveRun(run));
  EXPECT_FALSE(fs::exists(root_ / "logs" / run));

  GcOptions options;
  options.dry_run = true;
  GcReport report = Must(store.Gc(options));
  ASSERT_EQ(report.objects.size(), 1u);
  EXPECT_EQ(report.objects[0].name, Sha256Hex("content"));
  EXPECT_EQ(report.objects[0].what, "file a.x of " + run);
  EXPECT_EQ(report.TotalBytes(), 7u);
  EXPECT_TRUE(fs::exists(object));
  EXPECT_TRUE(Must(store.Lookup("k")).hit.has_value());

  std::vector<std::string> told;
  options.dry_run = false;
  options.progress = [&](const char* doing, uint64_t done, uint64_t total) {
    told.push_back(std::string(doing) + " " + std::to_string(done) + "/" + std::to_string(total));
  };
  report = Must(store.Gc(options));
  EXPECT_THAT(told, testing::ElementsAre("forgetting 0/1", "setting aside 0/1", "deleting 0/1"));
  ASSERT_EQ(report.objects.size(), 1u);
  EXPECT_FALSE(fs::exists(object));
  EXPECT_FALSE(Must(store.Lookup("k")).hit.has_value());
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
  EXPECT_THAT(Leftovers(), testing::IsEmpty());
}

TEST_F(GcTest, KeepLastRemovesOlderRunsOfEachPipelineButNotTaggedOnes) {
  Store store = Open();
  std::vector<std::string> runs;
  for (int i = 0; i < 4; ++i)
    runs.push_back(FinishedRun(store, "k" + std::to_string(i), "content " + std::to_string(i)));
  Must(store.TagRun(runs[0], "keep"));
  const std::string other = NewRun(store, "other");
  Must(store.FinishRun(other, RunStatus::kOk));
  GcOptions options;
  options.keep_last = 1;
  const GcReport report = Must(store.Gc(options));
  std::vector<std::string> removed;
  for (const GcItem& item : report.runs) removed.push_back(item.name);
  EXPECT_THAT(removed, testing::UnorderedElementsAre(runs[1], runs[2]));
  EXPECT_EQ(report.objects.size(), 2u);
  EXPECT_FALSE(fs::exists(root_ / "logs" / runs[1]));
  EXPECT_TRUE(fs::exists(root_ / "logs" / runs[3]));
  EXPECT_EQ(Must(store.ListRuns()).size(), 3u);
}

TEST_F(GcTest, KeepLastDoesNotGoByTheClock) {
  Store store = Open();
  const std::string ahead = FinishedRun(store, "k1", "content 1");
  MoveAhead(ahead);
  const std::string last = FinishedRun(store, "k2", "content 2");
  GcOptions options;
  options.keep_last = 1;
  const GcReport report = Must(store.Gc(options));
  ASSERT_EQ(report.runs.size(), 1u);
  EXPECT_EQ(report.runs[0].name, ahead);
  EXPECT_TRUE(Must(store.Lookup("k2")).hit.has_value());
  EXPECT_EQ(Must(store.GetRun(last)).status, RunStatus::kOk);
}

TEST_F(GcTest, KeepLastKeepsWhatGatesCompareWith) {
  Store store = Open();
  std::vector<std::string> runs;
  for (int i = 0; i < 3; ++i) {
    const std::string number = std::to_string(i);
    runs.push_back(FinishedRun(store, "k" + number, "content " + number));
  }
  Must(store.RegisterModel("m", Sha256Hex("content 0"), runs[0]));
  Must(store.SetAlias("m", "production", 1));
  for (int i = 0; i < 2; ++i) {
    runs.push_back(NewRun(store));
    Must(store.FinishRun(runs.back(), RunStatus::kFailed));
  }
  GcOptions options;
  options.keep_last = 1;
  GcReport report = Must(store.Gc(options));
  std::vector<std::string> removed;
  for (const GcItem& item : report.runs) removed.push_back(item.name);
  EXPECT_THAT(removed, testing::UnorderedElementsAre(runs[1], runs[3]))
      << "0 made a model with an alias, 2 is the latest that succeeded, 4 the latest";
  Must(store.RemoveAlias("m", "production"));
  report = Must(store.Gc(options));
  ASSERT_EQ(report.runs.size(), 1u);
  EXPECT_EQ(report.runs[0].name, runs[0]);
  EXPECT_TRUE(report.objects.empty()) << "the model itself is kept";
  Must(store.RemoveModel("m", 1));
  EXPECT_EQ(Must(store.Gc()).objects.size(), 1u);
}

TEST_F(GcTest, KeepAgeRemovesOldRunsButNotTheLastSuccess) {
  Store store = Open();
  std::vector<std::string> runs;
  for (int i = 0; i < 2; ++i)
    runs.push_back(FinishedRun(store, "k" + std::to_string(i), "content " + std::to_string(i)));
  for (int i = 0; i < 2; ++i) {
    runs.push_back(NewRun(store));
    Must(store.FinishRun(runs.back(), RunStatus::kFailed));
  }
  const auto remove = [&](int keep_last, double keep_age) {
    GcOptions options;
    options.dry_run = true;
    options.keep_last = keep_last;
    options.keep_age = keep_age;
    std::vector<std::string> removed;
    for (const GcItem& item : Must(store.Gc(options)).runs) removed.push_back(item.name);
    return removed;
  };
  constexpr double kNow = 1e-6, kDay = 86400;
  EXPECT_THAT(remove(0, kDay), testing::IsEmpty()) << "all of them started today";
  EXPECT_THAT(remove(0, kNow), testing::UnorderedElementsAre(runs[0], runs[2]))
      << "the latest one and the latest success stay";
  EXPECT_THAT(remove(1, 0), testing::UnorderedElementsAre(runs[0], runs[2]));
  EXPECT_THAT(remove(2, kNow), testing::UnorderedElementsAre(runs[0])) << "what either rule keeps stays";
  EXPECT_THAT(remove(1, kDay), testing::IsEmpty());
}

TEST_F(GcTest, KeepsModelsInputsOfKeptRunsAndSharedOutputs) {
  Store store = Open();
  const std::string first = FinishedRun(store, "k1", "model");
  const std::string second = FinishedRun(store, "k2", "input");
  const std::string third = FinishedRun(store, "k3", "shared");
  Must(store.RegisterModel("m", Sha256Hex("model"), first));
  const std::string kept = NewRun(store);
  Must(RunStage(store, kept, "b", "k4", {{"y", File("mine")}}, {{"in", Sha256Hex("input"), "file", "a.x"}}));
  Must(store.RecordCached(Attempt(kept, "a", "k3"), *Must(store.Lookup("k3")).hit));
  for (const std::string& run : {first, second, third}) Must(store.RemoveRun(run));
  const GcReport report = Must(store.Gc());
  EXPECT_TRUE(report.objects.empty());
  EXPECT_EQ(report.kept_objects, 4u);
}

TEST_F(GcTest, RemovesOldStateQuarantineAndUnregisteredObjects) {
  Store store = Open();
  const std::string run = FinishedRun(store, "k", "content");
  Spill(Must(store.StateDir("old-key")) / "checkpoint", "12345");
  fs::create_directories(root_ / "quarantine/bad");
  const std::string stray = std::string(64, 'e');
  Spill(root_ / "objects/ee" / stray / "data", "stray");
  GcReport report = Must(store.Gc());
  EXPECT_TRUE(report.state.empty());
  EXPECT_TRUE(report.quarantine.empty());
  ASSERT_EQ(report.unregistered.size(), 1u);
  EXPECT_EQ(report.unregistered[0].name, stray);
  EXPECT_FALSE(fs::exists(root_ / "objects/ee" / stray));
  GcOptions options;
  options.state_max_age = options.quarantine_max_age = -10;
  report = Must(store.Gc(options));
  ASSERT_EQ(report.state.size(), 1u);
  EXPECT_EQ(report.state[0].name, "old-key");
  EXPECT_EQ(report.state[0].bytes, 5u);
  EXPECT_EQ(report.quarantine.size(), 1u);
  EXPECT_FALSE(fs::exists(root_ / "state/old-key"));
  EXPECT_TRUE(report.logs.empty());
  EXPECT_TRUE(fs::exists(root_ / "logs" / run));
}

TEST_F(GcTest, KeepsStateOfAKeyThatIsBeingComputed) {
  Store store = Open();
  const std::string run = NewRun(store);
  Must(store.StartAttempt(Attempt(run, "a", "busy-key")));
  Must(store.StateDir("busy-key"));
  GcOptions options;
  options.state_max_age = -10;
  EXPECT_TRUE(Must(store.Gc(options)).state.empty());
  EXPECT_TRUE(fs::exists(root_ / "state/busy-key"));
}

// A run takes the key's lock before there is a row of its attempt.
TEST_F(GcTest, KeepsStateOfAKeyThatIsLocked) {
  Store store = Open();
  const std::string key = "key of a long name: " + std::string(200, 'k');
  for (const std::string& name : {key, std::string("other")})
    Spill(Must(store.StateDir(name)) / "checkpoint", "12345");
  Store run = Open();
  auto lock = Must(run.TryLockKey(key, "r"));
  ASSERT_TRUE(lock.has_value());
  GcOptions options;
  options.state_max_age = -10;
  GcReport report = Must(store.Gc(options));
  ASSERT_EQ(report.state.size(), 1u);
  EXPECT_EQ(report.state[0].name, "other");
  EXPECT_EQ(report.state[0].bytes, 5u);
  EXPECT_EQ(Slurp(Must(run.StateDir(key)) / "checkpoint"), "12345");
  EXPECT_TRUE(Must(run.TryLockKey("other", "r")).has_value()) << "gc holds no lock any more";
  lock->Release();
  EXPECT_EQ(Must(store.Gc(options)).state.size(), 1u);
}

}  // namespace
}  // namespace genflow
