#include "store/locks.h"

#include <signal.h>
#include <sys/wait.h>

#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class LocksTest : public StoreTest {};

TEST_F(LocksTest, LockIsExclusiveAndTellsItsHolder) {
  const fs::path path = folder_ / "locks/x";
  auto first = Must(FileLock::Try(path, ThisProcess("thing", "run-1")));
  ASSERT_TRUE(first.has_value());
  LockHolder holder;
  EXPECT_FALSE(Must(FileLock::Try(path, ThisProcess("thing"), &holder)).has_value());
  EXPECT_EQ(holder.pid, ::getpid());
  EXPECT_EQ(holder.run, "run-1");
  EXPECT_EQ(holder.subject, "thing");
  EXPECT_GT(holder.since, 1e9);
  first->Release();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(Must(FileLock::Try(path, ThisProcess("thing"))).has_value());
}

TEST_F(LocksTest, LockOfAKilledProcessIsFree) {
  const fs::path path = folder_ / "x";
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto lock = FileLock::Try(path, ThisProcess("thing"));
    if (::write(ready[1], lock.ok() && lock->has_value() ? "y" : "n", 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  LockHolder holder;
  EXPECT_FALSE(Must(FileLock::Try(path, ThisProcess("thing"), &holder)).has_value());
  EXPECT_EQ(holder.pid, child);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(fs::exists(path));
  EXPECT_TRUE(Must(FileLock::Try(path, ThisProcess("thing"))).has_value());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(LocksTest, UnreadableHolderIsNoError) {
  Spill(folder_ / "x", "{\"pid\":");
  EXPECT_EQ(FileLock::ReadHolder(folder_ / "x").pid, 0);
  Spill(folder_ / "x", "{\"pid\":\"seven\"}");
  EXPECT_EQ(FileLock::ReadHolder(folder_ / "x").pid, 0);
  EXPECT_EQ(FileLock::ReadHolder(folder_ / "none").pid, 0);
}

TEST_F(LocksTest, SharedLockExcludesOnlyTheExclusive) {
  const fs::path path = folder_ / "x";
  {
    const auto a = Must(SharedLock::Wait(path, SharedLock::Mode::kShared));
    EXPECT_TRUE(Must(SharedLock::Try(path, SharedLock::Mode::kShared)).has_value());
    EXPECT_FALSE(Must(SharedLock::Try(path, SharedLock::Mode::kExclusive)).has_value());
  }
  EXPECT_TRUE(Must(SharedLock::Try(path, SharedLock::Mode::kExclusive)).has_value());
}

TEST_F(LocksTest, PipelineLockNamesTheRunInTheWay) {
  Store store = Open();
  FileLock lock = Must(store.LockPipeline("/srv/demo/demo.yaml"));
  const std::string run = NewRun(store);
  Must(store.DescribePipelineLock(lock, "/srv/demo/demo.yaml", run));
  Store other = Open();
  const auto refused = other.LockPipeline("/srv/demo/demo.yaml");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kBusy);
  EXPECT_THAT(refused.error().message,
              testing::MatchesRegex("/srv/demo/demo.yaml: is being run by run " + run + " \\(process " +
                                    std::to_string(::getpid()) + " on [^ ]+, since [0-9: -]+\\)"));
  EXPECT_TRUE(other.LockPipeline("/srv/demo/other.yaml").ok());
  lock.Release();
  EXPECT_TRUE(other.LockPipeline("/srv/demo/demo.yaml").ok());
}

TEST_F(LocksTest, KeyLockIsOneAtATime) {
  Store store = Open();
  Store other = Open();
  auto lock = Must(store.TryLockKey("key", "run-a"));
  ASSERT_TRUE(lock.has_value());
  std::string holder;
  EXPECT_FALSE(Must(store.TryLockKey("key", "run-a", &holder)).has_value());
  EXPECT_EQ(holder, "run-a");
  EXPECT_FALSE(Must(other.TryLockKey("key", "run-b", &holder)).has_value());
  EXPECT_EQ(holder, "");  // nobody says in the store that it is computing it
  EXPECT_TRUE(Must(other.TryLockKey("another key", "run-b")).has_value());
  const std::string run = Must(store.StartRun({"demo"}));
  Must(store.StartAttempt(Attempt(run, "a", "key")));
  EXPECT_FALSE(Must(other.TryLockKey("key", "run-b", &holder)).has_value());
  EXPECT_EQ(holder, run);
  lock->Release();
  lock->Release();
  auto second = Must(other.TryLockKey("key", "run-b"));
  ASSERT_TRUE(second.has_value());
  KeyLock moved = std::move(*second);
  EXPECT_FALSE(Must(store.TryLockKey("key", "run-a")).has_value());
  moved = KeyLock();
  EXPECT_TRUE(Must(store.TryLockKey("key", "run-a")).has_value());
}

}  // namespace
}  // namespace genflow
