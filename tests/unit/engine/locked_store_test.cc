// Another program keeps store.db locked while a run goes on. Real store and real locks; the executor and the
// clock are fakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <csignal>
#include <limits>

#include "engine_fixture.h"

namespace genflow {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// Takes the lock when a stage writes a line, and gives it back at a time or never.
class Locker : public LineRecorder {
 public:
  ~Locker() override { sqlite3_close(db_); }

  void Log(const StageLog&, double) override {
    ASSERT_EQ(sqlite3_open(file.c_str(), &db_), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db_);
    locked = true;
  }
  void Notice(const std::string& text) override { lines.push_back("notice " + text); }
  double Tick(double now) override {
    if (locked && now >= until) {
      EXPECT_EQ(sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
      locked = false;
    }
    return locked && now < until ? until : kNever;
  }

  std::filesystem::path file;
  double until = kNever;
  bool locked = false;

 private:
  sqlite3* db_ = nullptr;
};

class LockedStoreTest : public EngineFixture<Locker> {
 protected:
  void SetUp() override {
    EngineFixture::SetUp();
    observer_.file = dir_ / ".genflow/store.db";
    options_.store_patience_ms = 1;
  }
  // `a` locks the store as it begins; `late` runs meanwhile, and `b` comes after `a`.
  Pipeline Load() {
    executor_.scripts["a"] = {
        {.seconds = 2, .reports = {event::Log{0, "info", "lock"}, event::Metric{0, "loss", 0.5, 1}}}};
    executor_.scripts["late"] = {{.seconds = 12, .stops_after = 1}};
    return Parse(
        "name: test\nstages:\n  a: { uses: exec, with: { run: a }, out: { o: file } }\n"
        "  b: { uses: exec, with: { run: b }, out: { o: file }, in: { x: a.o } }\n"
        "  late: { uses: exec, with: { run: late }, out: { o: file } }\n");
  }
};

TEST_F(LockedStoreTest, TheRunGoesOnAndItsRowsAreWrittenLater) {
  observer_.until = 108;
  const RunReport report = Run(Load());
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_THAT(executor_.history, testing::ElementsAre("100 start a", "100 start late", "102 end a",
                                                      "108 start b", "109 end b", "112 end late"))
      << "nothing was stopped";
  EXPECT_THAT(observer_.lines,
              testing::Contains("notice " + observer_.file.string() +
                                ": another process keeps it locked; stages go on, and what they did is "
                                "recorded when it is free"));
  EXPECT_EQ(store_->GetRun(report.run)->status, RunStatus::kOk);
  EXPECT_EQ(store_->Metrics(report.run, "a")->size(), 1u);
  EXPECT_EQ(store_->Metrics(report.run, "a")->front().value, 0.5);
  const auto attempts = store_->ListAttempts(report.run);
  ASSERT_EQ(attempts->size(), 3u);
  for (const auto& attempt : *attempts) EXPECT_EQ(attempt.status, AttemptStatus::kRun) << attempt.stage;
  EXPECT_TRUE(store_->Fsck()->problems.empty());
}

TEST_F(LockedStoreTest, FailuresAndWhatTheySkipAreWrittenLater) {
  observer_.until = 108;
  const auto pipeline = Load();
  executor_.scripts["a"][0].code = 3;
  options_.keep_going = true;
  const RunReport report = Run(pipeline);
  EXPECT_EQ(report.exit_code, 1);
  const auto attempts = store_->ListAttempts(report.run);
  ASSERT_EQ(attempts->size(), 3u);
  EXPECT_EQ((*attempts)[0].status, AttemptStatus::kFailed);
  EXPECT_EQ((*attempts)[0].end.error_message, "its command ended with exit code 3");
  EXPECT_EQ((*attempts)[1].status, AttemptStatus::kRun);
  EXPECT_EQ((*attempts)[2].status, AttemptStatus::kSkipped);
}

TEST_F(LockedStoreTest, ARunThatIsStoppedDoesNotWaitForIt) {
  const auto pipeline = Load();
  executor_.signals = {{104, SIGINT}};
  const auto report = RunPipeline(pipeline, *store_, options_, executor_, clock_, observer_);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::kIo);
  EXPECT_EQ(report.error().message, observer_.file.string() + ": another process keeps it locked");
  EXPECT_THAT(executor_.history, testing::Contains("104 ask late")) << "asked, not killed";
}

}  // namespace
}  // namespace genflow
