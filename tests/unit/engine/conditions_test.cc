// `if` decided in the run, and what is tried again. Real store and pipeline files; the executor and the clock
// are fakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <set>

#include "engine/engine.h"
#include "engine/retry.h"
#include "engine_fixture.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class Recorder : public LineRecorder {
 public:
  void StageRetries(const std::string& stage, int, double delay, const Error&, double) override {
    lines.push_back("retry " + stage);
    delays.push_back(delay);
  }
  std::vector<double> delays;

 private:
  std::string TextOf(const Error& error) const override { return error.ToString(); }
};

class Conditions : public EngineFixture<Recorder> {
 protected:
  // Each stage is "id: more keys of the stage in flow style", an exec stage with the output `o`.
  Pipeline Load(const std::vector<std::pair<std::string, std::string>>& stages) {
    std::string text = "name: test\nparams: { limit: 20 }\nstages:\n";
    for (const auto& [id, more] : stages) {
      text += "  " + id + ": { uses: exec, with: { run: '" + id + " ${{ params.limit }}' }" +
              (more.find("out:") == std::string::npos ? ", out: { o: file }" : "") +
              (more.empty() ? "" : ", " + more) + " }\n";
    }
    return Parse(text);
  }

  std::vector<std::string> Plan(const Pipeline& pipeline) {
    std::vector<std::string> out;
    const auto plan = PlanPipeline(pipeline, *store_, options_);
    EXPECT_TRUE(plan.ok());
    for (const auto& stage : *plan)
      out.push_back(stage.stage + " " + PlannedActionName(stage.action) +
                    (stage.reasons.empty() ? "" : ": " + stage.reasons.front()));
    return out;
  }

  // Lets a stage report a metric.
  void Measure(const std::string& stage, std::vector<std::pair<std::string, double>> metrics) {
    Script script;
    int64_t step = 0;
    for (const auto& [name, value] : metrics) script.reports.push_back(event::Metric{0, name, value, step++});
    executor_.scripts[stage] = {script};
  }
};

TEST_F(Conditions, AMetricDecides) {
  Measure("quality", {{"perplexity", 30}, {"perplexity", 12.5}});
  const auto pipeline = Load({{"quality", ""},
                              {"good", "if: stages.quality.metrics.perplexity < params.limit"},
                              {"bad", "if: '${{ stages.quality.metrics.perplexity >= params.limit }}'"},
                              {"after", "needs: [bad]"}});
  EXPECT_THAT(
      Plan(pipeline),
      ElementsAre(
          "quality run: never ran before",
          "good maybe: its `if` is decided in the run: stages.quality.metrics.perplexity < params.limit",
          "bad maybe: its `if` is decided in the run: stages.quality.metrics.perplexity >= params.limit",
          "after run: never ran before"));
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  const std::string no =
      "skipped bad: its `if` is false: stages.quality.metrics.perplexity >= params.limit "
      "(stages.quality.metrics.perplexity is 12.5)";
  const std::string after = "skipped after: needs 'bad', which is disabled by its `if`";
  EXPECT_THAT(observer_.lines, ElementsAre("start quality: never ran before", "ran quality", no, after,
                                           "start good: never ran before", "ran good"));
  // The decision is the same when the metric comes from the cache.
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_THAT(observer_.lines, ElementsAre("cached quality", no, after, "cached good"));
  EXPECT_THAT(Plan(pipeline), ElementsAre("quality cached", "good cached",
                                          "bad skip" + no.substr(std::string("skipped bad").size()),
                                          "after skip: needs 'bad'"));
}

TEST_F(Conditions, AnUnknownMetricFailsTheStage) {
  Measure("quality", {{"perplexity", 1}, {"loss", 2}});
  EXPECT_EQ(Run(Load({{"quality", ""}, {"a", "if: stages.quality.metrics.perplexty < 20"}})).exit_code, 1);
  EXPECT_EQ(observer_.lines.back(),
            "failed a: its `if` cannot be decided: 'quality' has no metric 'perplexty'\n"
            "  hint: did you mean 'perplexity'?");
}

TEST_F(Conditions, AnOutputThatWasNotWrittenIsNull) {
  const auto pipeline = Load({{"a", ""}, {"b", "if: stages.a.outputs.o != null"}});
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_EQ(observer_.lines.back(), "ran b");
}

TEST_F(Conditions, ReactionsRunAfterAFailure) {
  executor_.scripts["a"] = {{.code = 1}};
  const auto pipeline = Load({{"a", ""},
                              {"b", "in: { x: a.o }"},
                              {"notify", "needs: [b], if: failure()"},
                              {"clean", "needs: [b], if: always()"},
                              {"plain", "needs: [b], if: success()"},
                              {"asks", "if: stages.a.outcome == 'failure' && stages.b.outcome == 'skipped'"},
                              {"other", "needs: [clean]"}});
  const auto report = Run(pipeline);
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.status, RunStatus::kFailed);
  EXPECT_THAT(
      observer_.lines,
      ElementsAre("start a: never ran before", "failed a: its command ended with exit code 1",
                  "skipped b: needs 'a', which failed", "skipped plain: needs 'a', which failed",
                  "skipped other: not started, because 'a' failed", "start clean: its `if` is true: always()",
                  "start notify: its `if` is true: failure()",
                  "start asks: its `if` is true: stages.a.outcome == 'failure' && stages.b.outcome == "
                  "'skipped'",
                  "ran notify", "ran clean", "ran asks"));
}

TEST_F(Conditions, ReactionsThatAreNotAskedForAreSkipped) {
  const auto pipeline =
      Load({{"a", ""}, {"notify", "needs: [a], if: failure()"}, {"clean", "needs: [a], if: always()"}});
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_THAT(observer_.lines, ElementsAre("start a: never ran before", "ran a",
                                           "skipped notify: its `if` is false: failure()",
                                           "start clean: its `if` is true: always()", "ran clean"));
  // A reaction is never taken from the cache.
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_THAT(observer_.lines, ElementsAre("cached a", "skipped notify: its `if` is false: failure()",
                                           "start clean: its `if` is true: always()", "ran clean"));
  EXPECT_THAT(Plan(pipeline), ElementsAre("a cached", "notify skip: its `if` is false: failure()",
                                          "clean run: its `if` is true: always()"));
}

TEST_F(Conditions, AReactionThatFailsIsAFailure) {
  executor_.scripts["clean"] = {{.code = 3}};
  EXPECT_EQ(Run(Load({{"a", ""}, {"clean", "needs: [a], if: always()"}})).exit_code, 1);
}

TEST_F(Conditions, ASignalLeavesTimeForReactions) {
  executor_.scripts["a"] = {{.seconds = 100, .stops_after = 2}};
  executor_.signals = {{105, SIGTERM}};
  const auto pipeline = Load({{"a", ""},
                              {"b", "needs: [a]"},
                              {"stopped", "needs: [a], if: cancelled()"},
                              {"failed", "needs: [a], if: failure()"}});
  const auto report = Run(pipeline);
  EXPECT_EQ(report.exit_code, kExitInterrupted);
  EXPECT_THAT(observer_.lines, ElementsAre("start a: never ran before", "skipped b: the run was stopped",
                                           "interrupted a", "skipped failed: its `if` is false: failure()",
                                           "start stopped: its `if` is true: cancelled()", "ran stopped"));
}

TEST_F(Conditions, ASecondSignalStopsReactionsToo) {
  executor_.scripts["a"] = {{.seconds = 100}};
  executor_.signals = {{105, SIGINT}, {106, SIGINT}};
  Run(Load({{"a", ""}, {"clean", "needs: [a], if: always()"}}));
  EXPECT_THAT(observer_.lines, ElementsAre("start a: never ran before", "skipped clean: the run was stopped",
                                           "interrupted a"));
}

TEST_F(Conditions, AMatrixHasOneOutcome) {
  executor_.scripts["t[n=2]"] = {{.code = 1}};
  options_.keep_going = true;
  const auto pipeline = Load({{"t", "matrix: { n: [1, 2] }, env: { N: '${{ matrix.n }}' }"},
                              {"notify", "if: stages.t.outcome == 'failure'"}});
  EXPECT_EQ(Run(pipeline).exit_code, 1);
  EXPECT_EQ(observer_.lines.back(), "ran notify");
}

TEST_F(Conditions, AConditionPullsInWhatItReads) {
  Measure("quality", {{"p", 1}});
  const auto pipeline = Load({{"quality", ""}, {"a", "if: stages.quality.metrics.p < 2"}});
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  options_.from = {"a"};
  EXPECT_EQ(Run(pipeline).exit_code, 0);
  EXPECT_THAT(observer_.lines, ElementsAre("cached quality", "cached a"));
}

// Retries.

TEST_F(Conditions, WaitsGrowByTheirFactor) {
  executor_.scripts["a"] = {{.code = 1}};
  EXPECT_EQ(Run(Load({{"a", "retries: { max: 3, backoff: 10s, factor: 3 }"}})).exit_code, 1);
  EXPECT_THAT(observer_.delays, ElementsAre(10, 30, 90));
}

TEST_F(Conditions, JitterFollowsTheRunAndTheStage) {
  executor_.scripts["a"] = {{.code = 1}};
  const auto pipeline = Load({{"a", "retries: { max: 3, backoff: 10s, factor: 1, jitter: 0.2 }"}});
  const auto report = Run(pipeline);
  const StageSpec& stage = *pipeline.Find("a");
  EXPECT_THAT(observer_.delays,
              ElementsAre(RetryDelay(stage, report.run, 1), RetryDelay(stage, report.run, 2),
                          RetryDelay(stage, report.run, 3)));
  std::set<double> different;
  for (int run = 0; run < 100; ++run) {
    const double delay = RetryDelay(stage, "run" + std::to_string(run), 1);
    EXPECT_GE(delay, 8);
    EXPECT_LE(delay, 12);
    different.insert(delay);
  }
  EXPECT_EQ(different.size(), 100u);
  EXPECT_LT(*different.begin(), 8.4);
  EXPECT_GT(*different.rbegin(), 11.6);
}

TEST_F(Conditions, OnlyNamedFailuresAreTriedAgain) {
  const auto attempts = [&](const std::string& on, const Script& script) {
    executor_.scripts["a"] = {script};
    const auto pipeline = Load({{"a", "timeout: 50s, retries: { max: 1, on: " + on + " }"}});
    return Run(pipeline).stages[0].attempts;
  };
  EXPECT_EQ(attempts("crash", {.signal = SIGSEGV}), 2);
  EXPECT_EQ(attempts("crash", {.code = 1}), 1);
  EXPECT_EQ(attempts("[timeout, memory]", {.seconds = 60, .stops_after = 1}), 2);
  EXPECT_EQ(attempts("memory", {.signal = SIGKILL}), 2);
  EXPECT_EQ(attempts("timeout", {.signal = SIGKILL}), 1);
  EXPECT_EQ(attempts("exit", {.code = 4}), 2);
  EXPECT_EQ(attempts("'exit:75'", {.code = 75}), 2);
  EXPECT_EQ(attempts("[exit:75, crash]", {.code = 4}), 1);
}

}  // namespace
}  // namespace genflow
