// What the store says of the keys that a stage has had.
#include "store_testing.h"

namespace genflow {
namespace {

class HistoryTest : public StoreTest {};

TEST_F(HistoryTest, EachKeyOnceTheLatestFirst) {
  Store store = Open();
  std::vector<std::string> runs;
  for (const char* key : {"k1", "k2", "k1", "k3"}) {
    runs.push_back(NewRun(store));
    AttemptStart start = Attempt(runs.back(), "a", key);
    start.key_components_json = std::string("{\"key\":\"") + key + "\"}";
    AttemptEnd end;
    end.status = std::string(key) == "k3" ? AttemptStatus::kFailed : AttemptStatus::kRun;
    Must(store.RecordAttempt(start, end));
  }
  const auto keys = Must(store.EarlierKeys("demo", "a", 9));
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys[0].key, "k3");
  EXPECT_EQ(keys[0].status, AttemptStatus::kFailed);
  EXPECT_EQ(keys[0].run, runs[3]);
  EXPECT_EQ(keys[1].key, "k1");
  EXPECT_EQ(keys[1].run, runs[2]) << "the last run with the key";
  EXPECT_EQ(keys[1].components_json, "{\"key\":\"k1\"}");
  EXPECT_EQ(keys[2].key, "k2");
  EXPECT_EQ(Must(store.EarlierKeys("demo", "a", 1)).size(), 1u);
  EXPECT_TRUE(Must(store.EarlierKeys("demo", "b", 9)).empty());
  EXPECT_TRUE(Must(store.EarlierKeys("other", "a", 9)).empty());
}

TEST_F(HistoryTest, ACachedAttemptHasTheComponentsOfTheOneThatComputed) {
  Store store = Open();
  const auto first = NewRun(store);
  AttemptStart start = Attempt(first, "a", "k1");
  start.key_components_json = R"({"stage":"test.a"})";
  CommitRequest request;
  request.attempt = Must(store.StartAttempt(start));
  request.end = Done();
  Staging staging = Must(store.Stage("k1"));
  Spill(Must(staging.Output("out")), "x");
  request.outputs.push_back({"out", "file"});
  Must(store.Commit(std::move(staging), request));
  const auto second = NewRun(store);
  const auto found = Must(store.Lookup("k1"));
  ASSERT_TRUE(found.hit);
  Must(store.RecordCached(Attempt(second, "a", "k1"), *found.hit));
  const auto keys = Must(store.EarlierKeys("demo", "a", 9));
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].run, second);
  EXPECT_EQ(keys[0].status, AttemptStatus::kCached);
  EXPECT_EQ(keys[0].components_json, R"({"stage":"test.a"})");
}

TEST_F(HistoryTest, SkippedAttemptsAndThoseWithoutAKeyDoNotCount) {
  Store store = Open();
  const auto run = NewRun(store);
  AttemptEnd skipped;
  skipped.status = AttemptStatus::kSkipped;
  Must(store.RecordAttempt(Attempt(run, "a", "k1"), skipped));
  AttemptEnd failed;
  Must(store.RecordAttempt(Attempt(run, "a", ""), failed));
  EXPECT_TRUE(Must(store.EarlierKeys("demo", "a", 9)).empty());
}

TEST_F(HistoryTest, TheRunThatComputesAKeyIsKnown) {
  Store store = Open();
  EXPECT_FALSE(Must(store.ComputingRun("k1")));
  const auto run = NewRun(store);
  const int64_t attempt = Must(store.StartAttempt(Attempt(run, "a", "k1")));
  const auto computing = Must(store.ComputingRun("k1"));
  ASSERT_TRUE(computing);
  EXPECT_EQ(computing->id, run);
  EXPECT_EQ(computing->pid, ::getpid());
  Must(store.FinishAttempt(attempt, {}));
  EXPECT_FALSE(Must(store.ComputingRun("k1")));
}

}  // namespace
}  // namespace genflow
