// Refusals of `matrix:`, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(MatrixRefusals, IsNoMapping) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: [1, 2]
)"),
            R"(
pipeline.yaml:5:13: error: matrix expects a mapping, got a list
    5 |     matrix: [1, 2]
      |             ^

1 error
)");
}

TEST(MatrixRefusals, AxisIsNoList) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: 8, s: { a: 1 }, "a b": [1] }
)"),
            R"(
pipeline.yaml:5:18: error: matrix.r expects a list, got '8'
    5 |     matrix: { r: 8, s: { a: 1 }, "a b": [1] }
      |                  ^
  hint: write r: [8]

pipeline.yaml:5:24: error: matrix.s expects a list, got a mapping
    5 |     matrix: { r: 8, s: { a: 1 }, "a b": [1] }
      |                        ^

pipeline.yaml:5:34: error: 'a b' cannot name an axis of a matrix
    5 |     matrix: { r: 8, s: { a: 1 }, "a b": [1] }
      |                                  ^~~~~
  hint: use letters, digits, - and _

3 errors
)");
}

TEST(MatrixRefusals, AxisIsEmpty) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: [], include: [{ s: 1 }] }
)"),
            R"(
pipeline.yaml:5:18: error: matrix.r: the list is empty
    5 |     matrix: { r: [], include: [{ s: 1 }] }
      |                  ^

1 error
)");
}

TEST(MatrixRefusals, HasNoCombinations) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: [1], exclude: [{ r: 1 }] }
)"),
            R"(
pipeline.yaml:5:13: error: the matrix has no combinations: exclude takes out all of them
    5 |     matrix: { r: [1], exclude: [{ r: 1 }] }
      |             ^

1 error
)");
}

TEST(MatrixRefusals, IsEmpty) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: {}
)"),
            R"(
pipeline.yaml:5:13: error: the matrix has no combinations
    5 |     matrix: {}
      |             ^
  hint: give it axes: matrix: { r: [8, 16] }

1 error
)");
}

TEST(MatrixRefusals, ValuesThatAreNoScalars) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: [1, [2], null, { a: 1 }, ""] }
)"),
            R"(
pipeline.yaml:5:22: error: matrix.r: expected a number, a text, true or false, got a list
    5 |     matrix: { r: [1, [2], null, { a: 1 }, ""] }
      |                      ^

pipeline.yaml:5:27: error: matrix.r: expected a number, a text, true or false, got nothing
    5 |     matrix: { r: [1, [2], null, { a: 1 }, ""] }
      |                           ^~~~

pipeline.yaml:5:33: error: matrix.r: expected a number, a text, true or false, got a mapping
    5 |     matrix: { r: [1, [2], null, { a: 1 }, ""] }
      |                                 ^

pipeline.yaml:5:43: error: matrix.r: a value cannot be an empty text, which has no place in a name
    5 |     matrix: { r: [1, [2], null, { a: 1 }, ""] }
      |                                           ^~
  hint: write a word for it, such as none

4 errors
)");
}

TEST(MatrixRefusals, ValuesThatAreThereTwice) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: [16, 8, 16.0, "8"] }
)"),
            R"(
pipeline.yaml:5:26: error: matrix.r: the value 16.0 is there twice
    5 |     matrix: { r: [16, 8, 16.0, "8"] }
      |                          ^~~~

pipeline.yaml:5:32: error: matrix.r: the value 8 is there twice
    5 |     matrix: { r: [16, 8, 16.0, "8"] }
      |                                ^~~

2 errors
)");
}

TEST(MatrixRefusals, ExcludeOfAnUnknownAxis) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { rank: [1], exclude: [{ rnak: 1 }, 7, {}] }
)"),
            R"(
pipeline.yaml:5:38: error: matrix.exclude: the matrix has no axis 'rnak'
    5 |     matrix: { rank: [1], exclude: [{ rnak: 1 }, 7, {}] }
      |                                      ^~~~
  hint: did you mean 'rank'?

pipeline.yaml:5:49: error: matrix.exclude expects a list of mappings, got '7'
    5 |     matrix: { rank: [1], exclude: [{ rnak: 1 }, 7, {}] }
      |                                                 ^

pipeline.yaml:5:52: error: matrix.exclude expects a list of mappings, got an empty one
    5 |     matrix: { rank: [1], exclude: [{ rnak: 1 }, 7, {}] }
      |                                                    ^

3 errors
)");
}

TEST(MatrixRefusals, IncludeThatIsNoList) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: [1], include: { r: 2 } }
)"),
            R"(
pipeline.yaml:5:32: error: matrix.include expects a list of mappings, got a mapping
    5 |     matrix: { r: [1], include: { r: 2 } }
      |                                ^

1 error
)");
}

TEST(MatrixRefusals, IncludeTwice) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { include: [{ r: 2 }, { r: 2 }] }
)"),
            R"(
pipeline.yaml:5:35: error: matrix.include: the combination [r=2] is there twice
    5 |     matrix: { include: [{ r: 2 }, { r: 2 }] }
      |                                   ^

1 error
)");
}

TEST(MatrixRefusals, LongValues) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { r: [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx] }
)"),
            R"(
pipeline.yaml:5:13: error: a child of the matrix would be called [r=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..., with 174 characters; at most 160 are allowed
    5 |     matrix: { r: [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
      |             ^
  hint: give the axis short names, and each of them its long value under include:

1 error
)");
}

TEST(MatrixRefusals, TooManyChildren) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { a: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39], b: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25] }
)"),
            R"(
pipeline.yaml:5:13: error: the matrix has 1,040 combinations, and at most 1,000 are allowed
    5 |     matrix: { a: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 
      |             ^

1 error
)");
}

TEST(MatrixRefusals, ManyMoreChildren) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    with: { run: x }
    matrix: { a: &a [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99], b: *a, c: *a }
)"),
            R"(
pipeline.yaml:5:13: error: the matrix has more than 100,000 combinations, and at most 1,000 are allowed
    5 |     matrix: { a: &a [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 3
      |             ^

1 error
)");
}

TEST(MatrixRefusals, OutsideOfAMatrix) {
  EXPECT_EQ(Refusal(R"(params: { a: "${{ matrix.r }}" }
defaults: { timeout: "${{ matrix.r }}s" }
stages:
  t:
    uses: exec
    with: { run: "${{ matrix.r }} ${{ params.a }}" }
)"),
            R"(
pipeline.yaml:1:26: error: values of a matrix cannot be used in params
    1 | params: { a: "${{ matrix.r }}" }
      |                          ^

pipeline.yaml:2:34: error: values of a matrix cannot be used in defaults
    2 | defaults: { timeout: "${{ matrix.r }}s" }
      |                                  ^

pipeline.yaml:6:30: error: the stage has no matrix
    6 |     with: { run: "${{ matrix.r }} ${{ params.a }}" }
      |                              ^
  hint: give it one: matrix: { r: [1, 2] }

3 errors
)");
}

TEST(MatrixRefusals, UnknownValue) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    matrix: { rank: [8] }
    with: { run: "${{ matrix.rnak }} ${{ matrix.x }}" }
)"),
            R"(
pipeline.yaml:5:30: error: the matrix has no 'rnak'
    5 |     with: { run: "${{ matrix.rnak }} ${{ matrix.x }}" }
      |                              ^~~~
  hint: did you mean 'rank'?

pipeline.yaml:5:49: error: the matrix has no 'x'
    5 |     with: { run: "${{ matrix.rnak }} ${{ matrix.x }}" }
      |                                                 ^
  hint: it has rank

2 errors
)");
}

TEST(MatrixRefusals, ValueThatAChildLacks) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    matrix: { r: [8], include: [{ r: 16, note: big }, { r: 32 }] }
    with: { run: "${{ matrix.note }}" }
)"),
            R"(
pipeline.yaml:5:23: error: the combination [r=8] has no 'note' (in t[r=8])
    5 |     with: { run: "${{ matrix.note }}" }
      |                       ^~~~~~~~~~~
  hint: give a default: ${{ matrix.note || 'value' }}

pipeline.yaml:5:23: error: the combination [r=32] has no 'note' (in t[r=32])
    5 |     with: { run: "${{ matrix.note }}" }
      |                       ^~~~~~~~~~~
  hint: give a default: ${{ matrix.note || 'value' }}

2 errors
)");
}

}  // namespace
}  // namespace genflow
