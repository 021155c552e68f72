// The run store under many processes, kill -9 and a full disk.
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <random>

#include "unit/store/store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class StoreFaultsTest : public StoreTest {
 protected:
  // Runs `body` in a child that leaves without destructors; its exit code is what `body` returns.
  static pid_t Fork(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    return child;
  }
  static int ExitOf(pid_t child) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  static int Say(const Error& error) {
    std::fprintf(stderr, "child: %s\n", error.ToString().c_str());
    return 1;
  }

  // What must hold after whatever happened: nothing damaged, no leftovers, every success whole.
  static void ExpectWhole(Store& store) {
    const FsckReport report = Must(store.Fsck());
    for (const FsckProblem& problem : report.problems) {
      EXPECT_EQ(problem.kind, FsckKind::kUnregisteredObject) << problem.subject << ": " << problem.detail;
      EXPECT_THAT(problem.detail, testing::EndsWith("which is whole"));
    }
    for (const RunInfo& run : Must(store.ListRuns())) {
      for (const AttemptInfo& attempt : Must(store.ListAttempts(run.id))) {
        if (attempt.status != AttemptStatus::kRun) {
          EXPECT_TRUE(attempt.outputs.empty());
          continue;
        }
        EXPECT_EQ(attempt.outputs.size(), 2u);
        for (const PortArtifact& output : attempt.outputs) EXPECT_TRUE(fs::exists(output.artifact.path()));
        EXPECT_TRUE(Must(store.Lookup(attempt.key)).hit.has_value()) << attempt.key;
      }
    }
  }

  static std::map<std::string, Tree> TwoOutputs(const std::string& seed) {
    return {{"file", File("file of " + seed)},
            {"tree",
             {{"a", "a of " + seed}, {"d/b", std::string(20000, 'b') + seed}, {"d/shared", "same in all"}}}};
  }
};

TEST_F(StoreFaultsTest, TwentyProcessesOpenOneNewStoreAndCommitTheSameAndDifferentKeys) {
  constexpr int kProcesses = 20;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(Fork([&, i] {
      auto store = Store::Open(root_);
      if (!store.ok()) return Say(store.error());
      RunStart start;
      start.pipeline = "p" + std::to_string(i);
      auto run = store->StartRun(start);
      if (!run.ok()) return Say(run.error());
      for (int k = 0; k < 3; ++k) {
        // Two keys that every process computes, and one of its own.
        const std::string key = k < 2 ? "common-" + std::to_string(k) : "own-" + std::to_string(i);
        auto outputs = RunStage(*store, *run, "s" + std::to_string(k), key, TwoOutputs(key));
        if (!outputs.ok()) return Say(outputs.error());
        auto metrics = store->AddMetrics(*run, "s", {{"loss", 1.0 * k, k}});
        if (!metrics.ok()) return Say(metrics.error());
        auto found = store->Lookup(key);
        if (!found.ok()) return Say(found.error());
        if (!found->hit) return Say(MakeError(Code::kInternal, "no hit after a commit: " + found->problem));
      }
      auto finished = store->FinishRun(*run, RunStatus::kOk);
      if (!finished.ok()) return Say(finished.error());
      return 0;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(ExitOf(child), 0);
  Store store = Open();
  EXPECT_TRUE(store.notices().empty());
  const auto runs = Must(store.ListRuns());
  ASSERT_EQ(runs.size(), 20u);
  for (const RunInfo& run : runs) {
    EXPECT_EQ(run.status, RunStatus::kOk);
    EXPECT_EQ(run.stages_run, 3);
  }
  EXPECT_EQ(Must(store.Fsck()).objects, 2u * (2 + kProcesses));
  ExpectWhole(store);
  EXPECT_THAT(StagingNames(), testing::IsEmpty());
}

TEST_F(StoreFaultsTest, CollectionBesideCommitsTakesNothingThatIsReached) {
  { Store store = Open(); }
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(Fork([&, i] {
      auto store = Store::Open(root_);
      if (!store.ok()) return Say(store.error());
      for (int k = 0; k < 8; ++k) {
        RunStart start;
        start.pipeline = "p";
        auto run = store->StartRun(start);
        if (!run.ok()) return Say(run.error());
        // The same content again and again, which the collections in between take away.
        const std::string key = "key-" + std::to_string((i + k) % 3);
        auto outputs = RunStage(*store, *run, "s", key, TwoOutputs(key));
        if (!outputs.ok()) return Say(outputs.error());
        for (const PortArtifact& output : *outputs) {
          if (!fs::exists(output.artifact.path()))
            return Say(MakeError(Code::kInternal, "a live output was taken"));
        }
        auto finished = store->FinishRun(*run, RunStatus::kOk);
        if (!finished.ok()) return Say(finished.error());
        auto removed = store->RemoveRun(*run);
        if (!removed.ok()) return Say(removed.error());
      }
      return 0;
    }));
  }
  children.push_back(Fork([&] {
    auto store = Store::Open(root_);
    if (!store.ok()) return Say(store.error());
    for (int k = 0; k < 20; ++k) {
      auto report = store->Gc();
      if (!report.ok()) return Say(report.error());
      ::usleep(10'000);
    }
    return 0;
  }));
  for (const pid_t child : children) EXPECT_EQ(ExitOf(child), 0);
  Store store = Open();
  Must(store.Gc());
  const FsckReport report = Must(store.Fsck());
  EXPECT_TRUE(report.problems.empty());
  EXPECT_EQ(report.objects, 0u);
}

TEST_F(StoreFaultsTest, KillAtAnyInstantLeavesNothingOrTheWhole) {
  constexpr int kRounds = 50;
  constexpr unsigned kSeed = 20261124;
  std::mt19937 random(kSeed);
  // In memory where that is possible: syncing costs nothing there, so that the kills hit every step.
  std::optional<ScratchFolder> memory;
  if (::access("/dev/shm", W_OK) == 0) root_ = memory.emplace("/dev/shm") / ".genflow";
  { Store store = Open(); }
  std::vector<std::string> committed;
  for (int round = 0; round < kRounds; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = Fork([&] {
      ::close(pipe_ends[0]);
      auto store = Store::Open(root_);
      if (!store.ok()) return Say(store.error());
      RunStart start;
      start.pipeline = "p";
      auto run = store->StartRun(start);
      if (!run.ok()) return Say(run.error());
      for (int k = 0; k < 1000; ++k) {
        const std::string key = "r" + std::to_string(round) + "-" + std::to_string(k) + "\n";
        const std::string name = key.substr(0, key.size() - 1);
        auto outputs = RunStage(*store, *run, "s" + std::to_string(k), name, TwoOutputs(name));
        if (!outputs.ok()) return Say(outputs.error());
        if (::write(pipe_ends[1], key.data(), key.size()) < 0) return 1;
      }
      return 0;
    });
    ::close(pipe_ends[1]);
    ::usleep(std::uniform_int_distribution<int>(0, 60'000)(random));
    ::kill(child, SIGKILL);
    EXPECT_EQ(ExitOf(child), 128 + SIGKILL);
    std::string said;
    char buffer[4096];
    for (ssize_t n; (n = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
      said.append(buffer, static_cast<size_t>(n));
    ::close(pipe_ends[0]);
    for (size_t at = 0, end; (end = said.find('\n', at)) != std::string::npos; at = end + 1) {
      committed.push_back(said.substr(at, end - at));
    }
    Store store = Open();
    EXPECT_TRUE(store.notices().empty());
    EXPECT_THAT(StagingNames(), testing::IsEmpty()) << "round " << round;
    FsckOptions quick;
    quick.hash = false;
    EXPECT_TRUE(Must(store.Fsck(quick)).clean()) << "round " << round;
  }
  Store store = Open();
  ExpectWhole(store);
  std::printf("%d kills (seed %u): %zu commits were reported, none was lost\n", kRounds, kSeed,
              committed.size());
  for (const std::string& key : committed) EXPECT_TRUE(Must(store.Lookup(key)).hit.has_value()) << key;
  for (const RunInfo& run : Must(store.ListRuns())) EXPECT_EQ(run.status, RunStatus::kInterrupted);
  EXPECT_GT(committed.size(), 5u);  // the kills came late enough to mean something
  Must(store.Gc());
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
}

// Writing beyond a limit on file sizes fails like writing to a full disk.
TEST_F(StoreFaultsTest, FullDiskFailsTheCommitAndLosesNothing) {
  Store store = Open();
  const std::string run = NewRun(store);
  Must(RunStage(store, run, "before", "k0", TwoOutputs("before")));
  const pid_t child = Fork([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    auto mine = Store::Open(root_);
    if (!mine.ok()) return Say(mine.error());
    const struct rlimit limit = {300, 300};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    // The sidecar, or the database's log, does not fit.
    CommitRequest request;
    auto attempt = mine->StartAttempt(Attempt(run, "s", "k1"));
    if (!attempt.ok())
      return attempt.error().code == Code::kExhausted || attempt.error().code == Code::kIo
                 ? 0
                 : Say(attempt.error());
    request.attempt = *attempt;
    request.end = Done();
    request.outputs = {{"x", "file"}};
    auto staging = mine->Stage("k1");
    if (!staging.ok()) return Say(staging.error());
    Spill(*staging->Output("x"), "small");
    auto committed = mine->Commit(std::move(*staging), request);
    return committed.ok() ? 3 : 0;
  });
  EXPECT_EQ(ExitOf(child), 0);
  Store again = Open();
  ExpectWhole(again);
  Must(RunStage(again, run, "after", "k1", TwoOutputs("after")));
  EXPECT_TRUE(Must(again.Lookup("k1")).hit.has_value());
}

// A file system of 3 MiB that fills up while a stage writes, then while the store commits.
TEST_F(StoreFaultsTest, FullFileSystemIsReportedAndTheStoreStaysUsable) {
  const fs::path disk = folder_ / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=3m") != 0) {
    GTEST_SKIP() << "mounting a small file system is not permitted here";
  }
  {
    Store store = Must(Store::Open(disk / ".genflow"));
    const std::string run = NewRun(store);
    Must(RunStage(store, run, "first", "k0", TwoOutputs("first")));
    int refused = 0, done = 0;
    for (int i = 0; i < 40; ++i) {
      const std::string key = "k" + std::to_string(i + 1);
      CommitRequest request;
      auto attempt = store.StartAttempt(Attempt(run, key, key));
      if (!attempt.ok()) {
        EXPECT_EQ(attempt.error().code, Code::kExhausted) << attempt.error().ToString();
        ++refused;
        continue;
      }
      request.attempt = *attempt;
      request.end = Done();
      request.outputs = {{"file", "file"}, {"tree", "file"}};
      auto staging = store.Stage(key);
      if (!staging.ok()) {
        EXPECT_EQ(staging.error().code, Code::kExhausted) << staging.error().ToString();
        ++refused;
        continue;
      }
      bool wrote = true;
      for (const char* port : {"file", "tree"}) {
        auto path = staging->Output(port);
        wrote = wrote && path.ok() && WriteFileAtomic(*path, std::string(90'000, 'x') + key + port).ok();
      }
      if (!wrote) {
        ++refused;
        continue;
      }
      auto committed = store.Commit(std::move(*staging), request);
      if (committed.ok()) {
        ++done;
      } else {
        EXPECT_EQ(committed.error().code, Code::kExhausted) << committed.error().ToString();
        EXPECT_THAT(committed.error().message, testing::EndsWith("No space left on device"));
        ++refused;
      }
    }
    EXPECT_GT(done, 3);
    EXPECT_GT(refused, 3);
    for (const FsckProblem& problem : Must(store.Fsck()).problems) {
      EXPECT_EQ(problem.kind, FsckKind::kUnregisteredObject) << problem.detail;
    }
    ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=30m"), 0);
    ExpectWhole(store);
    Must(RunStage(store, run, "last", "last", TwoOutputs("last")));
    Must(store.FinishRun(run, RunStatus::kOk));
  }
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

}  // namespace
}  // namespace genflow
