// `if:`: what is decided before a run, and what is left to it.
#include <gmock/gmock.h>

#include "unit/config/loading.h"

namespace genflow {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

// The last stage of a pipeline, with that `if` and more keys.
StageSpec Last(const std::string& condition, const std::string& more = "") {
  return Load(R"(params: { limit: 20, no: false }
# ${{ }}
stages:
  used: { uses: exec, with: { run: "${{ params.limit }} ${{ params.no }}" } }
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    with: { run: x }
    if: )" + condition +
              "\n" + more)
      .stages.back();
}

TEST(Condition, WhatIsKnownIsDecided) {
  for (const char* no :
       {"params.no", "params.no && success()", "'${{ false && stages.base.outcome }}'",
        "params.limit > 30 && stages.base.metrics.x < 1", "'!(params.limit == 20 || failure())'"}) {
    const StageSpec stage = Last(no);
    EXPECT_FALSE(stage.enabled) << no;
    EXPECT_TRUE(stage.conditions.empty()) << no;
    EXPECT_TRUE(stage.needs.empty()) << no;
  }
  const StageSpec stage = Last("params.limit == 20 || always()");
  EXPECT_TRUE(stage.enabled);
  EXPECT_TRUE(stage.conditions.empty());
}

TEST(Condition, WhatIsNotKnownIsLeftToTheRun) {
  const StageSpec stage =
      Last("stages.base.metrics['a.b'].c < params.limit && stages.tune.outcome == env.HOME");
  EXPECT_TRUE(stage.enabled);
  ASSERT_EQ(stage.conditions.size(), 1u);
  const RunCondition& condition = stage.conditions[0];
  EXPECT_EQ(condition.text, stage.condition);
  EXPECT_EQ(condition.values, (std::map<std::string, json>{{"params.limit", 20}, {"env.HOME", "/home/u"}}));
  EXPECT_EQ(condition.stages, (std::map<std::string, std::vector<std::string>>{
                                  {"base", {"base"}}, {"tune", {"tune[r=8]", "tune[r=16]"}}}));
  EXPECT_TRUE(condition.asks_status);
  EXPECT_FALSE(condition.reacts);
  ASSERT_EQ(stage.needs.size(), 3u);
  EXPECT_EQ(stage.needs[0].stage, "base");
  EXPECT_TRUE(stage.needs[0].reads);
  EXPECT_EQ(stage.needs[1].stage, "tune[r=8]");
  EXPECT_FALSE(stage.needs[1].reads);
}

TEST(Condition, SaysWhetherItAsksHowItWent) {
  EXPECT_FALSE(Last("success()").conditions[0].asks_status);
  EXPECT_FALSE(Last("stages.base.metrics.x < 1").conditions[0].asks_status);
  EXPECT_FALSE(Last("stages.base.outputs.model != null").conditions[0].asks_status);
  EXPECT_TRUE(Last("stages.base.outcome == 'failure'").conditions[0].asks_status);
  for (const char* reaction : {"always()", "failure()", "cancelled()", "'!cancelled()'"}) {
    EXPECT_TRUE(Last(reaction).conditions[0].asks_status) << reaction;
    EXPECT_TRUE(Last(reaction).conditions[0].reacts) << reaction;
  }
}

TEST(Condition, AReactionMayReadWhatItMakesSureOf) {
  const std::string in = "    in: { report: base.report, all: tune.adapter }\n";
  EXPECT_EQ(Last("always() && stages.base.outcome == 'success' && stages.tune.outcome == 'success'", in)
                .inputs.size(),
            3u);
  EXPECT_EQ(Last("stages.base.outcome == 'success' && stages['tune'].outcome == 'success'", in).inputs.size(),
            3u);
  EXPECT_EQ(Last("success() && (failure() || cancelled() || true)", in).inputs.size(), 3u);
}

TEST(Condition, RetriesHaveALongForm) {
  const StageSpec stage =
      Last("true",
           "    retries: { max: 3, backoff: 10s, factor: 1.5, jitter: '0.2', on: [crash, timeout, "
           "exit:75, memory] }\n");
  EXPECT_EQ(stage.retries, 3);
  EXPECT_EQ(stage.retry_backoff, 10);
  EXPECT_EQ(stage.retry_factor, 1.5);
  EXPECT_EQ(stage.retry_jitter, 0.2);
  EXPECT_THAT(stage.retry_on, ElementsAre("crash", "timeout", "exit:75", "memory"));
  EXPECT_THAT(Last("true", "    retries: { max: 1, on: exit }\n").retry_on, ElementsAre("exit"));
  EXPECT_EQ(Last("true", "    retries: 2\n").retry_factor, 2);
}

}  // namespace
}  // namespace genflow
