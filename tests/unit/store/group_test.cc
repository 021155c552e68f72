// Many attempts committed at once, and writes that share a transaction.
#include <gmock/gmock.h>

#include "store_testing.h"

namespace genflow {
namespace {

class GroupTest : public StoreTest {
 protected:
  // An attempt that is running and has written `content`; "" writes nothing.
  Store::Pending Running(Store& store, const std::string& run, const std::string& stage,
                         const std::string& content) {
    CommitRequest request;
    request.attempt = Must(store.StartAttempt(Attempt(run, stage, "key-" + stage)));
    request.end = Done();
    request.outputs = {{"out", "file"}};
    Staging staging = Must(store.Stage("key-" + stage));
    const auto path = Must(staging.Output("out"));
    if (!content.empty()) Spill(path, content);
    return {std::move(staging), request};
  }
};

TEST_F(GroupTest, OneThatCannotBeCommittedLeavesTheOthersAlone) {
  Store store = Open();
  const std::string run = NewRun(store);
  std::vector<Store::Pending> pending;
  pending.push_back(Running(store, run, "a", "one"));
  pending.push_back(Running(store, run, "b", ""));
  pending.push_back(Running(store, run, "c", "one"));  // the bytes of a
  pending.push_back(Running(store, run, "d", "two"));
  const auto results = store.CommitAll(std::move(pending));
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(Must(results[0])[0].artifact.digest, Sha256Hex("one"));
  EXPECT_EQ(results[1].error().message, "output 'out' was not written");
  EXPECT_EQ(Must(results[2])[0].artifact.digest, Sha256Hex("one"));
  EXPECT_EQ(Must(results[3])[0].artifact.digest, Sha256Hex("two"));
  EXPECT_THAT(Leftovers(), testing::IsEmpty());
  for (const char* stage : {"a", "c", "d"})
    EXPECT_TRUE(Must(store.Lookup(std::string("key-") + stage)).hit.has_value()) << stage;
  EXPECT_FALSE(Must(store.Lookup("key-b")).hit.has_value());
  const auto attempts = Must(store.ListAttempts(run));
  EXPECT_EQ(attempts[0].status, AttemptStatus::kRun);
  EXPECT_EQ(attempts[1].status, AttemptStatus::kRunning);
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
}

TEST_F(GroupTest, WhatCannotBeCommittedNowIsCommittedLater) {
  Store store = Open();
  const std::string run = NewRun(store);
  std::vector<Store::Pending> pending;
  pending.push_back(Running(store, run, "a", "one"));
  pending.push_back(Running(store, run, "b", "two"));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((root_ / "store.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  EXPECT_FALSE(store.TryCommitAll(&pending, 1).has_value());
  EXPECT_EQ(Must(Store::WriteGroup::Try(store, 1)), nullptr);
  sqlite3_close(other);
  EXPECT_EQ(pending.size(), 2u);
  {
    const auto alone = Must(SharedLock::Wait(root_ / "locks/objects", SharedLock::Mode::kExclusive));
    EXPECT_FALSE(store.TryCommitAll(&pending, 1).has_value());
  }
  const auto results = store.TryCommitAll(&pending, 1);
  ASSERT_TRUE(results.has_value());
  EXPECT_EQ(Must((*results)[0])[0].artifact.digest, Sha256Hex("one"));
  EXPECT_EQ(Must((*results)[1])[0].artifact.digest, Sha256Hex("two"));
  EXPECT_TRUE(pending.empty());
  EXPECT_THAT(Leftovers(), testing::IsEmpty());
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
}

TEST_F(GroupTest, ALockedDatabaseIsNotAnotherRun) {
  StoreOptions options;
  options.busy_timeout_ms = 1;
  Store store = Must(Store::Open(root_, options));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((root_ / "store.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const Error error = store.StartRun({}).error();
  EXPECT_EQ(error.code, Code::kIo);
  const std::string file = (root_ / "store.db").string();
  EXPECT_EQ(error.ToString(), file +
                                  ": another process has kept the store's database locked\n  hint: `fuser " +
                                  file + "` names those that have it open; run again when it is free");
  EXPECT_TRUE(Must(Store::Open(root_, options)).notices().empty()) << "it can be looked at";
  sqlite3_close(other);
  NewRun(store);
}

TEST_F(GroupTest, SealedBeforehandOrNotIsTheSame) {
  Store store = Open();
  const std::string run = NewRun(store);
  Store::Pending sealed = Running(store, run, "a", "content");
  const std::string pipeline = Must(store.GetRun(run)).pipeline;
  Must(sealed.staging.Seal(sealed.request.outputs, {run, "another", "a", "test.a", "key-a", 1,
                                                    true}));  // not what it turns out to be
  Must(sealed.staging.Seal(sealed.request.outputs, {run, pipeline, "a", "test.a", "key-a", 1, true}));
  EXPECT_EQ(Must(store.Commit(std::move(sealed.staging), sealed.request)).size(), 1u);
  EXPECT_TRUE(Must(store.Fsck()).problems.empty()) << "the sidecar says what the rows say";
}

TEST_F(GroupTest, WritesOfAGroupAreSeenWhenItEnds) {
  Store store = Open();
  const std::string run = NewRun(store);
  Store other = Open();
  {
    Store::WriteGroup group(store);
    Must(store.StartAttempt(Attempt(run, "a", "k1")));
    Must(store.StartAttempt(Attempt(run, "b", "k2")));
    EXPECT_EQ(Must(store.ListAttempts(run)).size(), 2u);
    EXPECT_EQ(Must(other.ListAttempts(run)).size(), 0u);
    Must(group.End());
    EXPECT_EQ(Must(other.ListAttempts(run)).size(), 2u);
  }
  {
    Store::WriteGroup group(store);
    Must(store.StartAttempt(Attempt(run, "c", "k3")));
  }
  EXPECT_EQ(Must(other.ListAttempts(run)).size(), 3u) << "also when it is left";
}

TEST_F(GroupTest, AFailureInAGroupAndADurableWriteKeepWhatCameBefore) {
  Store store = Open();
  const std::string run = NewRun(store);
  Store other = Open();
  Store::WriteGroup group(store);
  Must(store.StartAttempt(Attempt(run, "a", "k1")));
  EXPECT_FALSE(store.StartAttempt(Attempt("no such run", "b", "k2")).ok());
  CacheHit gone;
  gone.key = "k9";
  EXPECT_FALSE(store.RecordCached(Attempt(run, "c", "k9"), gone).ok());
  Must(RunStage(store, run, "d", "k4", {{"x", File("bytes")}}));  // commits by itself, and the group so far
  EXPECT_EQ(Must(other.ListAttempts(run)).size(), 2u);
  Must(store.StartAttempt(Attempt(run, "e", "k5")));
  Must(group.End());
  EXPECT_EQ(Must(other.ListAttempts(run)).size(), 3u);
}

}  // namespace
}  // namespace genflow
