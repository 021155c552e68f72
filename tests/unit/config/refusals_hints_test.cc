// Refusals of what is nearly right: they say what was probably meant.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(HintRefusals, AnOutcomeThatNeverIs) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: exec, with: { run: x } }
  b: { uses: exec, with: { run: x }, if: "stages.a.outcome == 'failed'" }
  c: { uses: exec, with: { run: x }, if: "'succes' != stages.a.outcome && true" }
  d: { uses: exec, with: { run: x }, if: "stages.a.outcome == 'elsewhere'" }
)"),
            R"(
pipeline.yaml:3:63: error: an outcome is 'success', 'failure', 'cancelled' or 'skipped', never 'failed'
    3 |   b: { uses: exec, with: { run: x }, if: "stages.a.outcome == 'failed'" }
      |                                                               ^~~~~~~~
  hint: did you mean 'failure'?

pipeline.yaml:4:43: error: an outcome is 'success', 'failure', 'cancelled' or 'skipped', never 'succes'
    4 |   c: { uses: exec, with: { run: x }, if: "'succes' != stages.a.outcome && true" }
      |                                           ^~~~~~~~
  hint: did you mean 'success'?

pipeline.yaml:5:63: error: an outcome is 'success', 'failure', 'cancelled' or 'skipped', never 'elsewhere'
    5 |   d: { uses: exec, with: { run: x }, if: "stages.a.outcome == 'elsewhere'" }
      |                                                               ^~~~~~~~~~~

3 errors
)");
}

TEST(HintRefusals, ValuesOfProfilesHaveTheTypeOfTheDefault) {
  EXPECT_EQ(Refusal(R"(params: { n: 1, word: a, many: [1] }
profiles:
  big: { params: { n: abc, word: 3, many: "${{ params.n }}" } }
  odd: { params: { many: 3 } }
stages:
  a: { uses: exec, with: { run: "${{ params.n }} ${{ params.word }} ${{ length(params.many) }}" } }
)"),
            R"(
pipeline.yaml:3:23: error: n: expected a number, like the default 1
    3 |   big: { params: { n: abc, word: 3, many: "${{ params.n }}" } }
      |                       ^~~

pipeline.yaml:4:26: error: many: expected a list, like the default [1]
    4 |   odd: { params: { many: 3 } }
      |                          ^

2 errors
)");
}

TEST(HintRefusals, Include) {
  EXPECT_EQ(Refusal(R"(include: ./clean.yaml
stages:
  a: { uses: exec, with: { run: x } }
)"),
            R"(
pipeline.yaml:1:1: error: unknown key 'include' in the pipeline
    1 | include: ./clean.yaml
      | ^~~~~~~
  hint: a stage uses another pipeline file: uses: ./clean.yaml

1 error
)");
}

TEST(HintRefusals, AnEmptyTextInAMatrix) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: exec, with: { run: x }, matrix: { r: [1, ""] } }
)"),
            R"(
pipeline.yaml:2:55: error: matrix.r: a value cannot be an empty text, which has no place in a name
    2 |   a: { uses: exec, with: { run: x }, matrix: { r: [1, ""] } }
      |                                                       ^~
  hint: write a word for it, such as none

1 error
)");
}

TEST(HintRefusals, ReferencesToAMatrix) {
  EXPECT_EQ(Refusal(R"(stages:
  s:
    uses: exec
    matrix: { r: [1, "a,b"] }
    with: { run: x }
    out: { o: file }
  b: { uses: exec, in: { d: "s[r=${{ matrix.r }}].o" }, with: { run: x } }
  c: { uses: exec, in: { d: "s[r=a,b].o" }, with: { run: x } }
)"),
            R"(
pipeline.yaml:7:29: error: in.d: the stage has no matrix, so that matrix.A means nothing here
    7 |   b: { uses: exec, in: { d: "s[r=${{ matrix.r }}].o" }, with: { run: x } }
      |                             ^~~~~~~~~~~~~~~~~~~~~~~~

pipeline.yaml:8:30: error: in.d: 's[r=a,b]' is no reference to a stage
    8 |   c: { uses: exec, in: { d: "s[r=a,b].o" }, with: { run: x } }
      |                              ^~~~~~~~
  hint: a child of a matrix is written s[r=1], a ',' in a value %2C

2 errors
)");
}

TEST(HintRefusals, AnExpressionThatIsNotClosed) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: exec, with: { run: x }, if: "${{ true" }
)"),
            R"(
pipeline.yaml:2:43: error: '${{' is not closed by '}}'
    2 |   a: { uses: exec, with: { run: x }, if: "${{ true" }
      |                                           ^~~

1 error
)");
}

TEST(HintRefusals, APortThatIsANumber) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: exec, with: { run: x }, out: { 1: file } }
)"),
            R"(
pipeline.yaml:2:45: error: '1' cannot name a port
    2 |   a: { uses: exec, with: { run: x }, out: { 1: file } }
      |                                             ^
  hint: use letters, digits and _, a letter first

1 error
)");
}

}  // namespace
}  // namespace genflow
