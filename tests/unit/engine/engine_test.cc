// The loop: what starts when, and what is made of each end. Real store, real pipeline files; the executor
// and the clock are fakes.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <csignal>
#include <utility>

#include "engine_fixture.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class Recorder : public LineRecorder {
 public:
  void StageRetries(const std::string& stage, int, double delay, const Error& error, double) override {
    lines.push_back("retry " + stage + " in " + std::to_string(static_cast<int>(delay)) + ": " +
                    error.message);
  }
  void StageWaits(const std::string& stage, const std::string& what, double) override {
    lines.push_back("wait " + stage + ": " + what);
  }
};

class EngineTest : public EngineFixture<Recorder> {
 protected:
  // Each line of `stages` is "id: more keys of the stage in flow style", an exec stage with the output `o`.
  Pipeline Load(const std::vector<std::pair<std::string, std::string>>& stages) {
    std::string text = "name: test\nstages:\n";
    for (const auto& [id, more] : stages) {
      text += "  " + id + ": { uses: exec, with: { run: '" + id + "' }, out: { o: file }" +
              (more.empty() ? "" : ", " + more) + " }\n";
    }
    return Parse(text);
  }
};

TEST_F(EngineTest, ChainRunsInOrderAndIsCachedAfterwards) {
  const auto pipeline = Load({{"c", "in: { x: b.o }"}, {"b", "in: { x: a.o }"}, {"a", ""}});
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "101 end a", "101 start b", "102 end b",
                                             "102 start c", "103 end c"));
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_TRUE(executor_.history.empty());
  EXPECT_THAT(observer_.lines, ElementsAre("cached a", "cached b", "cached c"));
}

TEST_F(EngineTest, LongestChainStartsFirst) {
  const auto pipeline = Load({{"short", ""}, {"other", ""}, {"head", ""}, {"tail", "in: { x: head.o }"}});
  options_.jobs = 1;
  Run(pipeline);
  EXPECT_EQ(executor_.history.front(), "100 start head");
}

TEST_F(EngineTest, CpuPoolLimitsWhatRunsTogether) {
  const auto pipeline = Load(
      {{"a", "resources: { cpus: 2 }"}, {"b", "resources: { cpus: 2 }"}, {"c", "resources: { cpus: 2 }"}});
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_EQ(executor_.most_running, 2u);
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "100 start b", "101 end a", "101 start c",
                                             "101 end b", "102 end c"));
}

TEST_F(EngineTest, ReadyStagesShareTheCpus) {
  const auto pipeline = Load({{"a", "resources: { cpus: 1..4 }"}, {"b", "resources: { cpus: 1..4 }"}});
  Run(pipeline);
  ASSERT_EQ(executor_.jobs.size(), 2u);
  EXPECT_EQ(executor_.jobs[0].env.at("GENFLOW_THREADS"), "2");
  EXPECT_EQ(executor_.jobs[1].env.at("GENFLOW_THREADS"), "2");
  executor_.jobs.clear();
  Run(Load({{"alone", "resources: { cpus: 1..4 }"}}));
  EXPECT_EQ(executor_.jobs[0].env.at("GENFLOW_THREADS"), "4");
}

TEST_F(EngineTest, GpusAreHandedOutByNumber) {
  options_.pools.gpus = {0, 1};
  Run(Load({{"a", "resources: { gpus: 1 }"}, {"b", "resources: { gpus: 1 }"}}));
  ASSERT_EQ(executor_.jobs.size(), 2u);
  EXPECT_EQ(executor_.jobs[0].env.at("CUDA_VISIBLE_DEVICES"), "0");
  EXPECT_EQ(executor_.jobs[1].env.at("CUDA_VISIBLE_DEVICES"), "1");
}

TEST_F(EngineTest, MoreThanTheMachineHasIsRefusedForThatStage) {
  const auto report = Run(Load({{"a", "resources: { gpus: 1 }"}}));
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.stages[0].error->message, "needs 1 GPU, but the pool has 0");
}

TEST_F(EngineTest, FailureSkipsDependentsAndCancelsTheRest) {
  executor_.scripts["a"] = {{.code = 1}};
  const auto pipeline = Load({{"a", ""}, {"b", "in: { x: a.o }"}, {"c", ""}, {"d", "in: { x: c.o }"}});
  options_.jobs = 1;
  const auto report = Run(pipeline);
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.status, RunStatus::kFailed);
  EXPECT_THAT(observer_.lines,
              ElementsAre("start a: never ran before", "failed a: its command ended with exit code 1",
                          "skipped b: needs 'a', which failed", "skipped c: not started, because 'a' failed",
                          "skipped d: not started, because 'a' failed"));
}

TEST_F(EngineTest, RunningStagesFinishAfterAFailure) {
  executor_.scripts["a"] = {{.code = 1}};
  executor_.scripts["c"] = {{.seconds = 5}};
  Run(Load({{"a", ""}, {"c", ""}, {"d", "in: { x: c.o }"}}));
  EXPECT_THAT(executor_.history, ElementsAre("100 start c", "100 start a", "101 end a", "105 end c"));
}

TEST_F(EngineTest, KeepGoingRunsWhatDoesNotDepend) {
  executor_.scripts["a"] = {{.code = 1}};
  options_.keep_going = true;
  options_.jobs = 1;
  const auto report = Run(Load({{"a", ""}, {"b", "in: { x: a.o }"}, {"c", ""}}));
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.stages[1].status, StageStatus::kSkipped);
  EXPECT_EQ(report.stages[2].status, StageStatus::kRan);
}

TEST_F(EngineTest, RetriesWaitTwiceAsLongEachTime) {
  executor_.scripts["a"] = {{.code = 1}, {.code = 1}, {.code = 1}, {}};
  const auto report = Run(Load({{"a", "retries: { max: 3, backoff: 4s }"}}));
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(report.stages[0].attempts, 4);
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "101 end a", "105 start a", "106 end a",
                                             "114 start a", "115 end a", "131 start a", "132 end a"));
  const auto attempts = store_->ListAttempts(report.run);
  ASSERT_TRUE(attempts.ok());
  ASSERT_EQ(attempts->size(), 4u);
  EXPECT_EQ((*attempts)[0].status, AttemptStatus::kFailed);
  EXPECT_EQ((*attempts)[3].status, AttemptStatus::kRun);
}

TEST_F(EngineTest, TimeoutAsksThenKills) {
  executor_.scripts["a"] = {{.seconds = 1000}};
  const auto report = Run(Load({{"a", "timeout: 5s"}}));
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.stages[0].error->message, "ran longer than its timeout of 5.0 s");
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "105 ask a", "115 kill a", "115 end a"));
}

TEST_F(EngineTest, TimeAwayDoesNotCountTowardsTimeoutAndGrace) {
  executor_.scripts["a"] = {{.seconds = 1000, .reports = {event::Away{20}}}};
  Run(Load({{"a", "timeout: 5s"}}));
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "125 ask a", "135 kill a", "135 end a"));
}

TEST_F(EngineTest, SignalStopsWhatRunsAndCancelsTheRest) {
  executor_.scripts["a"] = {{.seconds = 100, .stops_after = 2}};
  executor_.signals = {{103, SIGINT}};
  const auto report = Run(Load({{"a", ""}, {"b", "in: { x: a.o }"}}));
  EXPECT_EQ(report.exit_code, 130);
  EXPECT_EQ(report.status, RunStatus::kInterrupted);
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "103 ask a", "105 end a"));
  EXPECT_THAT(observer_.lines,
              ElementsAre("start a: never ran before", "skipped b: the run was stopped", "interrupted a"));
}

TEST_F(EngineTest, InterruptedRunIsResumableOnceAStageIsDone) {
  executor_.scripts["b"] = {{.seconds = 100, .stops_after = 2}};
  executor_.signals = {{103, SIGTERM}};
  const auto pipeline = Load({{"a", ""}, {"b", "in: { x: a.o }"}});
  EXPECT_EQ(Run(pipeline).exit_code, 75);
  executor_.scripts.clear();
  const auto again = Run(pipeline);
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.stages[0].status, StageStatus::kCached);
}

TEST_F(EngineTest, GraceEndsWithAKillAndASecondSignalKillsAtOnce) {
  executor_.scripts["a"] = {{.seconds = 1000}};
  executor_.signals = {{103, SIGTERM}};
  const auto pipeline = Load({{"a", ""}});
  EXPECT_EQ(Run(pipeline).exit_code, 143);
  EXPECT_THAT(executor_.history, ElementsAre("100 start a", "103 ask a", "113 kill a", "113 end a"));
  executor_.signals = {{114, SIGINT}, {115, SIGINT}};
  EXPECT_EQ(Run(pipeline).exit_code, 130);
  EXPECT_THAT(executor_.history, ElementsAre("113 start a", "114 ask a", "115 kill a", "115 end a"));
}

TEST_F(EngineTest, CommandThatEndsWithZeroWhileStoppingIsInterrupted) {
  executor_.scripts["a"] = {{.seconds = 5}};
  executor_.signals = {{103, SIGINT}};
  const auto report = Run(Load({{"a", ""}, {"b", "in: { x: a.o }"}}));
  EXPECT_EQ(report.exit_code, 130);
  EXPECT_EQ(report.stages[0].status, StageStatus::kInterrupted);
}

TEST_F(EngineTest, SignalDuringABackoffEndsTheRun) {
  executor_.scripts["a"] = {{.code = 1}};
  executor_.signals = {{103, SIGINT}};
  const auto report = Run(Load({{"a", "retries: { max: 3, backoff: 60s }"}}));
  EXPECT_EQ(report.exit_code, 130);
  EXPECT_EQ(clock_.now, 103);
}

TEST_F(EngineTest, BrokenWorkerFailsWithWhatItDid) {
  executor_.scripts["a"] = {
      {.signal = 9, .reports = {event::Broken{0, "closed its report pipe and went on running"}}}};
  const auto report = Run(Load({{"a", ""}}));
  EXPECT_EQ(report.stages[0].error->message, "its worker closed its report pipe and went on running");
}

TEST_F(EngineTest, MetricsReachTheStore) {
  Script script{.seconds = 3};
  for (int step = 0; step < 2500; ++step)
    script.reports.push_back(event::Metric{0, "loss", 1.0 / (step + 1), step});
  executor_.scripts["a"] = {script};
  const auto report = Run(Load({{"a", ""}}));
  const auto points = store_->Metrics(report.run, "a");
  ASSERT_TRUE(points.ok());
  ASSERT_EQ(points->size(), 2500u);
  EXPECT_EQ(points->back().value, 1.0 / 2500);
}

TEST_F(EngineTest, TwoStagesWithOneKeyComputeItOnce) {
  std::string text = "name: twins\nstages:\n";
  for (const char* id : {"a", "b"})
    text += std::string("  ") + id + ": { uses: exec, with: { run: same }, out: { o: file } }\n";
  LoadOptions load;
  load.catalog = &catalog_;
  auto loaded = ParsePipeline(text, dir_ / "pipeline.yaml", load);
  ASSERT_TRUE(loaded.pipeline.has_value());
  const auto report = Run(*loaded.pipeline);
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(executor_.jobs.size(), 1u);
  EXPECT_EQ(report.stages[0].status, StageStatus::kRan);
  EXPECT_EQ(report.stages[1].status, StageStatus::kCached);
  EXPECT_THAT(observer_.lines, testing::Contains("wait b: the same stage of this run"));
}

TEST_F(EngineTest, ASecondRunOfThePipelineIsRefused) {
  const auto pipeline = Load({{"a", ""}});
  auto other = Store::Open(dir_ / ".genflow");
  ASSERT_TRUE(other.ok());
  auto lock = other->LockPipeline(fs::weakly_canonical(pipeline.file).string());
  ASSERT_TRUE(lock.ok());
  const auto report = RunPipeline(pipeline, *store_, options_, executor_, clock_, observer_);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::kBusy);
}

// Breaks the store's tables once a stage has ended.
class Breaker : public LineRecorder {
 public:
  void StageFinished(const StageResult&, double) override {
    if (std::exchange(broken_, true)) return;
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, "ALTER TABLE attempts RENAME TO gone", nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  std::string file;

 private:
  bool broken_ = false;
};

TEST_F(EngineTest, WhatRunsHasTheGraceToSaveItsStateWhenTheStoreFails) {
  const auto pipeline = Load({{"first", ""}, {"next", ""}, {"careful", ""}, {"deaf", ""}});
  Breaker breaker;
  breaker.file = (dir_ / ".genflow/store.db").string();
  Script careful{100};
  careful.stops_after = 3;
  executor_.scripts = {{"next", {{5}}}, {"careful", {careful}}, {"deaf", {{100}}}};
  const auto report = RunPipeline(pipeline, *store_, options_, executor_, clock_, breaker);
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(executor_.history,
              ElementsAre("100 start first", "100 start next", "100 start careful", "100 start deaf",
                          "101 end first", "105 end next", "105 ask careful", "105 ask deaf",
                          "108 end careful", "115 kill deaf", "115 end deaf"));
}

TEST_F(EngineTest, EveryStageOfARunIsInTheStore) {
  executor_.scripts["b"] = {{.code = 1}};
  const auto report = Run(Load({{"a", ""}, {"b", "in: { x: a.o }"}, {"c", "in: { x: b.o }"}}));
  const auto attempts = store_->ListAttempts(report.run);
  ASSERT_TRUE(attempts.ok());
  ASSERT_EQ(attempts->size(), 3u);
  EXPECT_EQ((*attempts)[0].status, AttemptStatus::kRun);
  EXPECT_EQ((*attempts)[1].status, AttemptStatus::kFailed);
  EXPECT_EQ((*attempts)[1].end.error_message, "its command ended with exit code 1");
  EXPECT_EQ((*attempts)[1].inputs[0].source, "a.o");
  EXPECT_EQ((*attempts)[2].status, AttemptStatus::kSkipped);
  EXPECT_EQ((*attempts)[2].end.error_message, "needs 'b', which failed");
  EXPECT_EQ(store_->GetRun(report.run)->status, RunStatus::kFailed);
}

}  // namespace
}  // namespace genflow
