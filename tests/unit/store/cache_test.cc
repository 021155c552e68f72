#include <chrono>

#include "store/copy.h"
#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class CacheTest : public StoreTest {
 protected:
  // A store with one cached key "k", two outputs.
  Store Filled() {
    Store store = Open();
    const std::string run = NewRun(store);
    outputs_ = Must(RunStage(store, run, "clean", "k",
                             {{"log", File("some text")}, {"train", {{"a", "aaaa"}, {"d/b", "bb"}}}}));
    Must(store.FinishRun(run, RunStatus::kOk));
    return store;
  }
  std::string Short(int i) const { return outputs_[i].artifact.digest.substr(0, 12); }
  std::vector<PortArtifact> outputs_;
};

TEST_F(CacheTest, HitGivesTheOutputsAndWhoMadeThem) {
  Store store = Filled();
  const LookupResult found = Must(store.Lookup("k"));
  ASSERT_TRUE(found.hit.has_value()) << found.problem;
  ASSERT_EQ(found.hit->outputs.size(), 2u);
  EXPECT_EQ(found.hit->outputs[1].port, "train");
  EXPECT_EQ(found.hit->outputs[1].artifact.type, "dataset");
  EXPECT_EQ(found.hit->stage, "clean");
  const LookupResult miss = Must(store.Lookup("other"));
  EXPECT_FALSE(miss.hit.has_value());
  EXPECT_EQ(miss.problem, "");
}

TEST_F(CacheTest, CachedAttemptIsRecordedWithItsSource) {
  Store store = Filled();
  const CacheHit hit = *Must(store.Lookup("k")).hit;
  const std::string run = NewRun(store);
  Must(store.RecordCached(Attempt(run, "clean", "k"), hit));
  const auto attempts = Must(store.ListAttempts(run));
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_EQ(attempts[0].status, AttemptStatus::kCached);
  EXPECT_EQ(attempts[0].source_run, hit.run);
  EXPECT_EQ(attempts[0].outputs.size(), 2u);
  EXPECT_EQ(Must(store.GetRun(run)).stages_cached, 1);
}

TEST_F(CacheTest, HitThatWasCollectedMeanwhileIsNotRecorded) {
  Store store = Filled();
  const CacheHit hit = *Must(store.Lookup("k")).hit;
  {
    Store other = Open();
    Must(other.RemoveRun(hit.run));
    ASSERT_EQ(Must(other.Gc()).objects.size(), 2u);
  }
  const std::string run = NewRun(store);
  const auto recorded = store.RecordCached(Attempt(run, "clean", "k"), hit);
  EXPECT_EQ(recorded.error().code, Code::kNotFound);
  EXPECT_EQ(recorded.error().ToString(),
            "the stored outputs of stage 'clean' are gone since they were found\n  hint: the stage must run");
  EXPECT_TRUE(Must(store.ListAttempts(run)).empty());
}

TEST_F(CacheTest, FlippedBitIsFoundOnHitAndTheObjectQuarantined) {
  Store store = Filled();
  FlipByte(outputs_[1].artifact.path() / "d/b", 1);
  const LookupResult found = Must(store.Lookup("k"));
  EXPECT_FALSE(found.hit.has_value());
  EXPECT_EQ(found.problem, "the stored output 'train' of stage 'clean' (" + Short(1) +
                               ") is damaged: the content of 'd/b' has changed");
  EXPECT_FALSE(fs::exists(outputs_[1].artifact.path()));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "quarantine"), fs::directory_iterator()), 1);
  EXPECT_EQ(Must(store.Lookup("k")).problem, "");  // the key is forgotten
  EXPECT_TRUE(Must(store.GetArtifact(outputs_[1].artifact.digest)).lost);

  const std::string run = NewRun(store);
  Must(RunStage(store, run, "clean", "k",
                {{"log", File("some text")}, {"train", {{"a", "aaaa"}, {"d/b", "bb"}}}}));
  EXPECT_TRUE(Must(store.Lookup("k")).hit.has_value());
  EXPECT_FALSE(Must(store.GetArtifact(outputs_[1].artifact.digest)).lost);
}

TEST_F(CacheTest, TruncatedFileIsFoundOnHit) {
  Store store = Filled();
  ASSERT_EQ(::chmod(outputs_[0].artifact.path().c_str(), 0644), 0);
  ASSERT_EQ(::truncate(outputs_[0].artifact.path().c_str(), 4), 0);
  EXPECT_EQ(Must(store.Lookup("k")).problem, "the stored output 'log' of stage 'clean' (" + Short(0) +
                                                 ") is damaged: its content is 4 bytes instead of 9");
}

TEST_F(CacheTest, DeletedObjectIsFoundOnHit) {
  Store store = Filled();
  Must(RemoveTree(outputs_[1].artifact.path().parent_path()));
  EXPECT_EQ(Must(store.Lookup("k")).problem, "the stored output 'train' of stage 'clean' (" + Short(1) +
                                                 ") is damaged: its content is missing");
}

TEST_F(CacheTest, AddedFileIsFoundOnHit) {
  Store store = Filled();
  ASSERT_EQ(::chmod(outputs_[1].artifact.path().c_str(), 0755), 0);
  Spill(outputs_[1].artifact.path() / "extra", "x");
  EXPECT_EQ(Must(store.Lookup("k")).problem,
            "the stored output 'train' of stage 'clean' (" + Short(1) + ") is damaged: 'extra' was added");
}

TEST_F(CacheTest, TouchedFileWithTheSameContentStaysAHit) {
  Store store = Filled();
  fs::last_write_time(outputs_[0].artifact.path(), fs::file_time_type::clock::now());
  EXPECT_TRUE(Must(store.Lookup("k")).hit.has_value());
  EXPECT_TRUE(Must(store.Lookup("k")).hit.has_value());
}

TEST_F(CacheTest, MovedStoreStillHits) {
  { Store store = Filled(); }
  fs::rename(root_, folder_ / "elsewhere");
  Must(CopyTree(folder_ / "elsewhere", root_, false));  // other inodes, other times
  Store store = Open();
  const LookupResult found = Must(store.Lookup("k"));
  EXPECT_TRUE(found.hit.has_value()) << found.problem;
  EXPECT_EQ(found.hit->outputs[0].artifact.path().string().find(root_.string()), 0u);
}

TEST_F(CacheTest, GatedAndUncachedStagesAreNoHits) {
  Store store = Open();
  const std::string run = NewRun(store);
  CommitRequest request;
  request.attempt = Must(store.StartAttempt(Attempt(run, "gate", "k1")));
  request.end.status = AttemptStatus::kGated;
  Must(store.Commit(Must(store.Stage("k1")), request));
  EXPECT_FALSE(Must(store.Lookup("k1")).hit.has_value());
  request.attempt = Must(store.StartAttempt(Attempt(run, "x", "k2")));
  request.end = Done();
  request.cache = false;
  Must(store.Commit(Must(store.Stage("k2")), request));
  EXPECT_FALSE(Must(store.Lookup("k2")).hit.has_value());
  // Without outputs a stage is cached all the same.
  request.attempt = Must(store.StartAttempt(Attempt(run, "y", "k3")));
  request.cache = true;
  Must(store.Commit(Must(store.Stage("k3")), request));
  ASSERT_TRUE(Must(store.Lookup("k3")).hit.has_value());
  Must(store.DropKey("k3"));
  EXPECT_FALSE(Must(store.Lookup("k3")).hit.has_value());
}

TEST_F(CacheTest, VerifyingTenArtifactsIsQuick) {
  Store store = Open();
  const std::string run = NewRun(store);
  std::map<std::string, Tree> outputs;
  for (int i = 0; i < 10; ++i) {
    Tree tree;
    for (int k = 0; k < 4; ++k) tree["f" + std::to_string(k)] = std::to_string(i * 10 + k);
    outputs["p" + std::to_string(i)] = tree;
  }
  Must(RunStage(store, run, "a", "k", outputs));
  Must(store.Lookup("k"));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Must(store.Lookup("k")).hit.has_value());
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / 20;
  RecordProperty("lookup_ms", std::to_string(ms));
  EXPECT_LT(ms, 20) << "about 0.3 ms on an idle machine";
}

}  // namespace
}  // namespace genflow
