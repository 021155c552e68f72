// Processes that open, upgrade, rebuild, collect and check one store at the same moment.
#include <sys/wait.h>

#include <cstdio>
#include <functional>

#include "unit/store/store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 12;
constexpr int kProcesses = 12;

class OpenStormTest : public StoreTest {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe(gate_), 0); }
  void TearDown() override { ::close(gate_[0]); }

  // A child that waits for Go(), then exits with what `body` returns.
  void Start(const std::function<Status()>& body) {
    const pid_t child = ::fork();
    if (child != 0) {
      children_.push_back(child);
      return;
    }
    ::close(gate_[1]);
    char byte;
    (void)!::read(gate_[0], &byte, 1);
    const Status status = body();
    if (!status.ok()) std::fprintf(stderr, "child: %s\n", status.error().ToString().c_str());
    ::_exit(status.ok() ? 0 : 1);
  }

  // Opens the gate, waits for all, and makes a new one.
  void Go() {
    ::close(gate_[1]);
    for (const pid_t child : children_) {
      int status = 0;
      EXPECT_EQ(::waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0);
    }
    children_.clear();
    ::close(gate_[0]);
    ASSERT_EQ(::pipe(gate_), 0);
  }

  // What a command of this number does with the store. One of other stages is never an error.
  Status Use(int number) {
    StoreOptions options;
    options.read_only = number % 4 == 1;
    options.create = !options.read_only;
    auto store = Store::Open(root_, options);
    if (options.read_only && !store.ok() && store.error().code == Code::kNotFound) return Ok();
    if (!store.ok()) return store.error();
    switch (number % 4) {
      case 1:
        GF_CHECK_OK(store->ListRuns());
        return Ok();
      case 2:
        GF_CHECK_OK(store->Gc());
        return Ok();
      case 3: {
        FsckOptions fsck;
        fsck.repair = true;
        GF_TRY(const auto report, store->Fsck(fsck));
        if (report.clean()) return Ok();
        return MakeError(Code::kCorrupt,
                         report.problems.front().subject + ": " + report.problems.front().detail);
      }
      default: {
        RunStart start;
        start.pipeline = "p" + std::to_string(number);
        GF_TRY(const std::string run, store->StartRun(start));
        const std::string key = "key-" + std::to_string(number % 8);
        GF_CHECK_OK(RunStage(*store, run, "s", key, {{"out", File("made by " + key)}}));
        GF_TRY(const auto found, store->Lookup(key));
        if (!found.hit) return MakeError(Code::kInternal, "no hit after a commit: " + found.problem);
        return store->FinishRun(run, RunStatus::kOk);
      }
    }
  }

  void ExpectWhole(size_t runs) {
    std::printf("%d processes at once opened it: %zu runs\n", kProcesses, runs);
    Store store = Open();
    EXPECT_TRUE(Must(store.Fsck()).problems.empty());
    EXPECT_THAT(Leftovers(), testing::IsEmpty());
    size_t ok = 0;
    for (const RunInfo& run : Must(store.ListRuns())) ok += run.status == RunStatus::kOk ? 1 : 0;
    EXPECT_EQ(ok, runs);
  }

  int gate_[2] = {-1, -1};
  std::vector<pid_t> children_;
};

TEST_F(OpenStormTest, ANewStore) {
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    Must(RemoveTree(root_));
    for (int i = 0; i < kProcesses; ++i) Start([this, i] { return Use(i); });
    Go();
    ExpectWhole(kProcesses / 4);
  }
}

TEST_F(OpenStormTest, AStoreOfAnOlderGenflow) {
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    Must(RemoveTree(root_));
    Must(Use(0));
    Sql(root_ / "store.db",
        "DROP INDEX runs_seq; DROP INDEX runs_pipeline; ALTER TABLE runs DROP COLUMN seq; CREATE INDEX "
        "runs_started ON runs(started); CREATE INDEX runs_pipeline ON runs(pipeline, started); "
        "ALTER TABLE runs DROP COLUMN stages; ALTER TABLE attempts DROP COLUMN retry_at; "
        "ALTER TABLE runs DROP COLUMN origins; PRAGMA user_version=1");
    for (int i = 0; i < kProcesses; ++i) Start([this, i] { return Use(i); });
    Go();
    ExpectWhole(1 + kProcesses / 4);
  }
}

TEST_F(OpenStormTest, AStoreWithoutItsDatabase) {
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    Must(RemoveTree(root_));
    Must(Use(0));
    Must(Use(4));
    for (const char* name : {"store.db", "store.db-wal", "store.db-shm"}) fs::remove(root_ / name);
    for (int i = 0; i < kProcesses; ++i) Start([this, i] { return Use(i); });
    Go();
    ExpectWhole(kProcesses / 4);
  }
}

// A rebuild waits for nobody and is refused while others are at work: nothing that they commit is lost.
TEST_F(OpenStormTest, RebuildsBesideCommits) {
  Must(Use(0));
  size_t runs = 1;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE(round);
    for (int i = 0; i < kProcesses; ++i) {
      if (i % 3 != 0) {
        Start([this, i] { return Use(4 * i); });
        continue;
      }
      Start([this]() -> Status {
        // A sound database is taken for a damaged one: its runs become recovered ones.
        for (int k = 0; k < 20; ++k) {
          auto rebuilt = Store::Rebuild(root_);
          if (!rebuilt.ok() && rebuilt.error().code != Code::kBusy) return rebuilt.error();
        }
        return Ok();
      });
    }
    Go();
    Store store = Open();
    EXPECT_TRUE(Must(store.Fsck()).problems.empty());
    for (int i = 0; i < kProcesses; ++i) {
      if (i % 3 == 0) continue;
      const std::string key = "key-" + std::to_string(4 * i % 8);
      EXPECT_TRUE(Must(store.Lookup(key)).hit.has_value()) << key;
      ++runs;
    }
  }
  EXPECT_EQ(runs, 1u + kRounds * kProcesses * 2 / 3);
}

}  // namespace
}  // namespace genflow
