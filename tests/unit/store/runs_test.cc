#include <cmath>
#include <limits>

#include "store_testing.h"

namespace genflow {
namespace {

class RunsTest : public StoreTest {};

TEST_F(RunsTest, RunIsRememberedAsStarted) {
  Store store = Open();
  const std::string id = NewRun(store);
  EXPECT_THAT(id, testing::MatchesRegex("[0-9]{8}-[0-9]{4}-[0-9a-z]{4}"));
  RunInfo run = Must(store.GetRun(id));
  EXPECT_EQ(run.pipeline, "demo");
  EXPECT_EQ(run.file, "/srv/demo/demo.yaml");
  EXPECT_EQ(run.params_json, R"({"epochs":2})");
  EXPECT_THAT(run.argv, testing::ElementsAre("genflow", "run", "demo.yaml"));
  EXPECT_EQ(run.status, RunStatus::kRunning);
  EXPECT_EQ(run.pid, ::getpid());
  EXPECT_EQ(run.finished, 0);
  Must(store.FinishRun(id, RunStatus::kGated));
  run = Must(store.GetRun(id));
  EXPECT_EQ(run.status, RunStatus::kGated);
  EXPECT_GE(run.finished, run.started);
  EXPECT_EQ(store.GetRun("nope").error().ToString(),
            "there is no run 'nope'\n  hint: `genflow runs ls` shows them");
}

TEST_F(RunsTest, ListFiltersAndLimits) {
  Store store = Open();
  const std::string a = NewRun(store, "one");
  const std::string b = NewRun(store, "two");
  const std::string c = NewRun(store, "two");
  Must(store.FinishRun(b, RunStatus::kFailed));
  Must(store.TagRun(a, "release"));
  auto ids = [&](const RunFilter& filter) {
    std::vector<std::string> out;
    for (const RunInfo& run : Must(store.ListRuns(filter))) out.push_back(run.id);
    return out;
  };
  EXPECT_THAT(ids({}), testing::UnorderedElementsAre(a, b, c));
  RunFilter filter;
  filter.pipeline = "two";
  EXPECT_THAT(ids(filter), testing::UnorderedElementsAre(b, c));
  filter.status = RunStatus::kFailed;
  EXPECT_THAT(ids(filter), testing::ElementsAre(b));
  filter = {};
  filter.tag = "release";
  EXPECT_THAT(ids(filter), testing::ElementsAre(a));
  filter = {};
  filter.limit = 2;
  EXPECT_EQ(ids(filter).size(), 2u);
  filter.since = 4e9;
  EXPECT_TRUE(ids(filter).empty());
  Must(store.UntagRun(a, "release"));
  EXPECT_EQ(store.UntagRun(a, "release").error().message, "run '" + a + "' has no tag 'release'");
}

// The clock was ahead once: what ran after that is later all the same.
TEST_F(RunsTest, TheLatestRunIsTheOneThatBeganLast) {
  Store store = Open();
  std::vector<std::string> runs;
  for (int i = 0; i < 3; ++i) {
    const std::string number = std::to_string(i);
    runs.push_back(NewRun(store));
    Must(RunStage(store, runs[i], "a", "k" + number, {{"x", File("content " + number)}}));
    Must(store.AddMetrics(runs[i], "a", {{"loss", 1.0 + i, 1}}));
    Must(store.TagRun(runs[i], "release"));
    Must(store.FinishRun(runs[i], RunStatus::kOk));
    if (i == 0) MoveAhead(runs[0]);
  }
  RunFilter filter;
  filter.pipeline = "demo";
  filter.status = RunStatus::kOk;
  std::vector<std::string> listed;
  for (const RunInfo& run : Must(store.ListRuns(filter))) listed.push_back(run.id);
  EXPECT_THAT(listed, testing::ElementsAre(runs[2], runs[1], runs[0]));
  EXPECT_EQ(Must(store.ResolveRun("latest")), runs[2]);
  EXPECT_EQ(Must(store.ResolveRun("release")), runs[2]);
  EXPECT_EQ(Must(store.ResolveArtifact("a.x")).digest, Sha256Hex("content 2"));
  EXPECT_EQ(Must(store.MetricHistory("demo", "a", "loss")).front().run, runs[2]);
  Must(store.RemoveRun(runs[2]));
  EXPECT_EQ(Must(store.ResolveRun("latest")), runs[1]);
  const std::string next = NewRun(store);
  EXPECT_EQ(Must(store.ResolveRun("latest")), next);
}

TEST_F(RunsTest, AttemptsKeepHowTheyEnded) {
  Store store = Open();
  const std::string run = NewRun(store);
  AttemptStart start = Attempt(run, "eval[0]/x", "key");
  start.key_components_json = R"({"plugin":"abc"})";
  start.log = Must(store.LogPath(run, start.stage, 1)).string();
  EXPECT_EQ(start.log, (root_ / "logs" / run / "eval%5B0%5D%2Fx.1.log").string());
  const int64_t first = Must(store.StartAttempt(start));
  AttemptEnd end;
  end.status = AttemptStatus::kFailed;
  end.exit_signal = 9;
  end.error_code = "exhausted";
  end.error_message = "out of memory";
  end.error_hint = "give it more";
  end.peak_rss_bytes = 5ull << 32;
  end.cpu_seconds = 1.5;
  end.retry_at = 1.7e9;
  Must(store.FinishAttempt(first, end));
  EXPECT_EQ(store.FinishAttempt(first, end).error().message, "attempt 1 does not exist or has already ended");
  start.attempt = 2;
  end = AttemptEnd{};
  end.status = AttemptStatus::kSkipped;
  Must(store.RecordAttempt(start, end));

  const auto attempts = Must(store.ListAttempts(run));
  ASSERT_EQ(attempts.size(), 2u);
  EXPECT_EQ(attempts[0].status, AttemptStatus::kFailed);
  EXPECT_EQ(attempts[0].end.exit_signal, 9);
  EXPECT_EQ(attempts[0].end.error_message, "out of memory");
  EXPECT_EQ(attempts[0].end.error_hint, "give it more");
  EXPECT_EQ(attempts[0].end.peak_rss_bytes, 5ull << 32);
  EXPECT_EQ(attempts[0].end.retry_at, 1.7e9);
  EXPECT_EQ(attempts[0].key_components_json, R"({"plugin":"abc"})");
  EXPECT_EQ(attempts[0].log, start.log);
  const RunInfo info = Must(store.GetRun(run));
  EXPECT_EQ(info.stages_skipped, 1);  // the last attempt of the stage
  EXPECT_EQ(info.stages_failed, 0);
}

TEST_F(RunsTest, PreviousAttemptExplainsAChangedKey) {
  Store store = Open();
  const std::string first = NewRun(store);
  Must(RunStage(store, first, "a", "key-1", {}));
  const std::string second = NewRun(store);
  Must(RunStage(store, second, "a", "key-2", {}));
  const auto latest = Must(store.PreviousAttempt("demo", "a"));
  ASSERT_TRUE(latest.has_value());
  EXPECT_EQ(latest->key, "key-2");
  EXPECT_EQ(Must(store.PreviousAttempt("demo", "a", latest->id))->key, "key-1");
  EXPECT_FALSE(Must(store.PreviousAttempt("other", "a")).has_value());
}

TEST_F(RunsTest, MetricsAreStoredByStepAndTheLaterValueCounts) {
  Store store = Open();
  const std::string first = NewRun(store);
  Must(store.AddMetrics(first, "tune", {{"loss", 2.5, 1}, {"loss", 2.0, 2}, {"lr", 1e-4, 1}}));
  Must(store.AddMetrics(first, "tune", {{"loss", 1.75, 2}, {"loss", std::nan(""), 3}}));
  const auto points = Must(store.Metrics(first, "tune"));
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[1].value, 1.75);
  EXPECT_TRUE(std::isnan(points[2].value));
  EXPECT_EQ(points[3].name, "lr");
  EXPECT_GT(points[0].time, 1e9);

  const std::string second = NewRun(store);
  Must(store.AddMetrics(second, "tune", {{"lr", 2e-4, 1}, {"lr", 3e-4, 7}}));
  const auto history = Must(store.MetricHistory("demo", "tune", "lr"));
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[0].point.value + history[1].point.value, 3e-4 + 1e-4);
  EXPECT_FALSE(store.AddMetrics("no-such-run", "tune", {{"loss", 1, 1}}).ok());
}

TEST_F(RunsTest, AverageDurationsComeFromExecutions) {
  Store store = Open();
  const std::string run = NewRun(store);
  Must(RunStage(store, run, "a", "k1", {}));
  const int64_t failed = Must(store.StartAttempt(Attempt(run, "b", "k2")));
  Must(store.FinishAttempt(failed, AttemptEnd{}));
  const auto durations = Must(store.AverageDurations("demo"));
  EXPECT_EQ(durations.size(), 1u);
  EXPECT_GE(durations.at("a"), 0);
  EXPECT_LT(durations.at("a"), 10);
  EXPECT_TRUE(Must(store.AverageDurations("other")).empty());
}

TEST_F(RunsTest, RunsAreResolvedByPartsOfTheirId) {
  Store store = Open();
  EXPECT_EQ(store.ResolveRun("latest").error().ToString(),
            "there is no run yet\n  hint: `genflow run PIPELINE` makes one");
  const std::string a = NewRun(store);
  EXPECT_EQ(Must(store.ResolveRun(a)), a);
  EXPECT_EQ(Must(store.ResolveRun(a.substr(0, 8))), a);
  EXPECT_EQ(Must(store.ResolveRun(a.substr(a.size() - 4))), a);
  EXPECT_EQ(Must(store.ResolveRun("latest")), a);
  EXPECT_EQ(store.ResolveRun("%").error().message, "there is no run '%'");
  EXPECT_EQ(store.ResolveRun("").error().message, "there is no run ''");
  const std::string b = NewRun(store);
  const auto ambiguous = store.ResolveRun("20");
  EXPECT_EQ(ambiguous.error().message, "run '20' is ambiguous");
  EXPECT_THAT(ambiguous.error().hint, testing::AllOf(testing::HasSubstr(a), testing::HasSubstr(b)));
}

TEST_F(RunsTest, RunOfADeadStoreBecomesInterrupted) {
  std::string run;
  {
    Store store = Open();
    run = NewRun(store);
    Must(store.StartAttempt(Attempt(run, "a", "k")));
    Store other = Open();
    EXPECT_EQ(Must(other.GetRun(run)).status, RunStatus::kRunning);
    EXPECT_EQ(other.RemoveRun(run).error().ToString(), "run '" + run + "' is still running (process " +
                                                           std::to_string(::getpid()) +
                                                           ")\n  hint: stop it first");
  }
  Store store = Open();
  EXPECT_EQ(Must(store.GetRun(run)).status, RunStatus::kInterrupted);
  const auto attempts = Must(store.ListAttempts(run));
  EXPECT_EQ(attempts[0].status, AttemptStatus::kInterrupted);
  EXPECT_EQ(attempts[0].end.error_message, "the process that ran it is gone");
  Must(store.RemoveRun(run));
  EXPECT_EQ(store.GetRun(run).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace genflow
