// Refusals of `if:` and `retries:`, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(ConditionRefusals, UnknownStagesAndWords) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: stages.bsae.outcome == 'failure' || stages.base.outcom || stages.base.metric.x
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, UnknownWord) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: stages.base.metrcs.x < 1
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, AMetricWithoutAName) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: stages.base.metrics < 1
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, MetricsOfAMatrix) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: stages.tune.metrics.loss < 1 || stages['tune[r=9]'].metrics.loss < 1
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, UnknownFunctions) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: failed() || faliure() || always(1)
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, UnknownOutput) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: stages.base.outputs.modl
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, OutsideOfIf) {
  EXPECT_EQ(Refusal(R"(params: { a: "${{ success() }}" }
stages:
  a:
    uses: exec
    with: { run: "${{ stages.a.outcome }} ${{ stages.a.metrics.x }} ${{ params.a }}" }
    timeout: "${{ failure() && 1 }}"
)"),
            R"()");
}

TEST(ConditionRefusals, AReactionCannotReadWhatMayNotBeThere) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: always()
    in: { report: base.report, all: tune.adapter, one: "tune[r=8].adapter" }
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, AReactionCannotUseThePathOfWhatMayNotBeThere) {
  EXPECT_EQ(Refusal(R"(stages:
  base:
    uses: exec
    with: { run: x }
    out: { model: model }
  last:
    uses: exec
    if: failure()
    with: { run: "ls ${{ stages.base.outputs.model }}" }
)"),
            R"()");
}

TEST(ConditionRefusals, AnOutcomeOtherThanSuccessIsNoPromise) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: exec
    matrix: { r: [8, 16] }
    with: { run: x }
    out: { adapter: adapter, report: report }
  base:
    uses: exec
    with: { run: x }
    out: { model: model, report: report }
  last:
    uses: exec
    if: stages.base.outcome != 'failure'
    in: { report: base.report }
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, ACycleThroughACondition) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    if: stages.b.metrics.x < 1
    with: { run: x }
  b:
    uses: exec
    needs: [a]
    with: { run: x }
)"),
            R"()");
}

TEST(ConditionRefusals, Retries) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    with: { run: x }
    retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
  b:
    uses: exec
    with: { run: x }
    retries: { max: 101, factor: many, jitter: [], on: [] }
  c:
    uses: exec
    with: { run: x }
    retries: { max: 1, on: { crash: true } }
)"),
            R"()");
}

}  // namespace
}  // namespace genflow
