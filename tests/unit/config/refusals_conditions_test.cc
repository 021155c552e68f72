// Refusals of `if:` and `retries:`, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(ConditionRefusals, UnknownStages) {
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
    if: stages.bsae.outcome == 'failure'
    with: { run: x }
)"),
            R"(
pipeline.yaml:13:16: error: there is no stage 'bsae'
   13 |     if: stages.bsae.outcome == 'failure'
      |                ^~~~
  hint: did you mean 'base'?

1 error
)");
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
            R"(
pipeline.yaml:13:21: error: a stage has outputs, outcome and metrics, not 'metrcs'
   13 |     if: stages.base.metrcs.x < 1
      |                     ^~~~~~
  hint: did you mean 'metrics'?

1 error
)");
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
            R"(
pipeline.yaml:13:16: error: a metric is written stages.STAGE.metrics.NAME
   13 |     if: stages.base.metrics < 1
      |                ^~~~

1 error
)");
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
            R"(
pipeline.yaml:13:16: error: 'tune' is 2 stages of a matrix
   13 |     if: stages.tune.metrics.loss < 1 || stages['tune[r=9]'].metrics.loss < 1
      |                ^~~~
  hint: name one: stages['tune[r=8]']

1 error
)");
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
    if: faliure()
    with: { run: x }
)"),
            R"(
pipeline.yaml:13:9: error: unknown function 'faliure'
   13 |     if: faliure()
      |         ^~~~~~~
  hint: did you mean 'failure'?

1 error
)");
}

TEST(ConditionRefusals, StatusFunctionsTakeNoArguments) {
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
    if: always(1)
    with: { run: x }
)"),
            R"(
pipeline.yaml:13:9: error: always() takes no arguments
   13 |     if: always(1)
      |         ^~~~~~

1 error
)");
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
            R"(
pipeline.yaml:13:29: error: stage 'base' has no output 'modl'
   13 |     if: stages.base.outputs.modl
      |                             ^~~~
  hint: did you mean 'model'?

1 error
)");
}

TEST(ConditionRefusals, OutsideOfIf) {
  EXPECT_EQ(Refusal(R"(params: { a: "${{ success() }}" }
stages:
  a:
    uses: exec
    with: { run: "${{ stages.a.outcome }} ${{ stages.a.metrics.x }} ${{ params.a }}" }
    timeout: "${{ failure() && 1 }}"
)"),
            R"(
pipeline.yaml:1:19: error: success() cannot be used in params
    1 | params: { a: "${{ success() }}" }
      |                   ^~~~~~~

pipeline.yaml:5:30: error: outcomes of stages cannot be used in run
    5 |     with: { run: "${{ stages.a.outcome }} ${{ stages.a.metrics.x }} ${{ params.a }}" }
      |                              ^

pipeline.yaml:5:54: error: metrics of stages cannot be used in run
    5 |     with: { run: "${{ stages.a.outcome }} ${{ stages.a.metrics.x }} ${{ params.a }}" }
      |                                                      ^

pipeline.yaml:6:19: error: failure() cannot be used in stage settings
    6 |     timeout: "${{ failure() && 1 }}"
      |                   ^~~~~~~

4 errors
)");
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
            R"(
pipeline.yaml:14:19: error: stage 'last' may run although 'base' did not succeed, and cannot read its output 'report' then
   14 |     in: { report: base.report, all: tune.adapter, one: "tune[r=8].adapter" }
      |                   ^~~~~~~~~~~
  hint: let its `if` hold only where stages.base.outcome == 'success', or do not read it

pipeline.yaml:14:37: error: stage 'last' may run although 'tune' did not succeed, and cannot read its output 'adapter' then
   14 |     in: { report: base.report, all: tune.adapter, one: "tune[r=8].adapter" }
      |                                     ^~~~~~~~~~~~
  hint: let its `if` hold only where stages.tune.outcome == 'success', or do not read it

pipeline.yaml:14:56: error: stage 'last' may run although 'tune[r=8]' did not succeed, and cannot read its output 'adapter' then
   14 |     in: { report: base.report, all: tune.adapter, one: "tune[r=8].adapter" }
      |                                                        ^~~~~~~~~~~~~~~~~~~
  hint: let its `if` hold only where stages['tune[r=8]'].outcome == 'success', or do not read it

3 errors
)");
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
            R"(
pipeline.yaml:9:26: error: stage 'last' may run although 'base' did not succeed, and cannot read its output 'model' then
    9 |     with: { run: "ls ${{ stages.base.outputs.model }}" }
      |                          ^~~~~~~~~~~~~~~~~~~~~~~~~
  hint: let its `if` hold only where stages.base.outcome == 'success', or do not read it

1 error
)");
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
            R"(
pipeline.yaml:14:19: error: stage 'last' may run although 'base' did not succeed, and cannot read its output 'report' then
   14 |     in: { report: base.report }
      |                   ^~~~~~~~~~~
  hint: let its `if` hold only where stages.base.outcome == 'success', or do not read it

1 error
)");
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
            R"(
pipeline.yaml:8:13: error: the stages form a cycle: a -> b -> a
    8 |     needs: [a]
      |             ^
  hint: remove one of these edges

1 error
)");
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
            R"(
pipeline.yaml:5:32: error: retries.factor: expected a number between 1 and 100, got '0.5'
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                ^~~

pipeline.yaml:5:45: error: retries.jitter: expected a number between 0 and 1, got '2'
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                             ^

pipeline.yaml:5:53: error: retries.on: expected crash, timeout, memory, error, exit, exit:CODE, got 'crahs'
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                                     ^~~~~
  hint: did you mean 'crash'?

pipeline.yaml:5:60: error: retries.on: expected crash, timeout, memory, error, exit, exit:CODE, got 'exit:300'
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                                            ^~~~~~~~
  hint: a code is a number from 1 to 255

pipeline.yaml:5:70: error: retries.on: expected crash, timeout, memory, error, exit, exit:CODE, got 'exit:x'
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                                                      ^~~~~~
  hint: a code is a number from 1 to 255

pipeline.yaml:5:78: error: retries.on: expected crash, timeout, memory, error, exit, exit:CODE, got '7'
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                                                              ^
  hint: did you mean 'exit:7'?

pipeline.yaml:5:82: error: unknown key 'bakoff' in retries
    5 |     retries: { max: 2, factor: 0.5, jitter: 2, on: [crahs, exit:300, exit:x, 7], bakoff: 3 }
      |                                                                                  ^~~~~~
  hint: did you mean 'backoff'?

pipeline.yaml:9:21: error: retries.max: expected an integer between 0 and 100, got '101'
    9 |     retries: { max: 101, factor: many, jitter: [], on: [] }
      |                     ^~~

pipeline.yaml:9:34: error: retries.factor: expected a number between 1 and 100, got 'many'
    9 |     retries: { max: 101, factor: many, jitter: [], on: [] }
      |                                  ^~~~

pipeline.yaml:9:48: error: retries.jitter: expected a number between 0 and 1, got a list
    9 |     retries: { max: 101, factor: many, jitter: [], on: [] }
      |                                                ^

pipeline.yaml:9:56: error: retries.on: the list is empty
    9 |     retries: { max: 101, factor: many, jitter: [], on: [] }
      |                                                        ^
  hint: without `on` every failure is tried again

pipeline.yaml:13:28: error: retries.on: expected crash, timeout, memory, error, exit, exit:CODE, got a mapping
   13 |     retries: { max: 1, on: { crash: true } }
      |                            ^

12 errors
)");
}

}  // namespace
}  // namespace genflow
