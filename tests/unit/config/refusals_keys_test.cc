// Refusals of keys and names, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(Refusals, DuplicateKeys) {
  EXPECT_EQ(Refusal(R"(name: a
name: b
stages:
  pages:
    uses: data.read
    with: { path: a, path: b }
  pages:
    uses: data.clean
)"),
            R"(
pipeline.yaml:2:1: error: the key 'name' is repeated
    2 | name: b
      | ^~~~
  hint: it is first given in line 1

pipeline.yaml:6:22: error: the key 'path' is repeated
    6 |     with: { path: a, path: b }
      |                      ^~~~
  hint: it is first given in line 6

pipeline.yaml:7:3: error: the key 'pages' is repeated
    7 |   pages:
      |   ^~~~~
  hint: it is first given in line 4

3 errors
)");
}

TEST(Refusals, UnknownTopLevelKeys) {
  EXPECT_EQ(Refusal(R"(nmae: x
matrix: {}
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
)"),
            R"(
pipeline.yaml:1:1: error: unknown key 'nmae' in the pipeline
    1 | nmae: x
      | ^~~~
  hint: did you mean 'name'?

pipeline.yaml:2:1: error: unknown key 'matrix' in the pipeline
    2 | matrix: {}
      | ^~~~~~
  hint: known keys: name, params, env, inputs, outputs, defaults, profiles, stages

2 errors
)");
}

TEST(Refusals, UnknownStageKeys) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    retires: 2
    run: echo
    with: { path: data/*.jsonl }
)"),
            R"(
pipeline.yaml:4:5: error: unknown key 'retires' in stage 'pages'
    4 |     retires: 2
      |     ^~~~~~~
  hint: did you mean 'retries'?

pipeline.yaml:5:5: error: unknown key 'run' in stage 'pages'
    5 |     run: echo
      |     ^~~
  hint: put it under with:, beside uses: exec

2 errors
)");
}

TEST(Refusals, MisspeltKeysAreNotMissingAsWell) {
  EXPECT_EQ(Refusal(R"(# As in the README.
params: { n: 3, zz: 1 }
stages:
  a:
    usees: exec
    with: { run: "seq ${{ params.n }}" }
)"),
            R"(
pipeline.yaml:2:17: error: the parameter 'zz' is never used
    2 | params: { n: 3, zz: 1 }
      |                 ^~
  hint: use it as ${{ params.zz }}, or remove it

pipeline.yaml:5:5: error: unknown key 'usees' in stage 'a'
    5 |     usees: exec
      |     ^~~~~
  hint: did you mean 'uses'?

2 errors
)");

  EXPECT_EQ(Refusal("stagse: { pages: { uses: data.read } }\n"),
            R"(
pipeline.yaml:1:1: error: unknown key 'stagse' in the pipeline
    1 | stagse: { pages: { uses: data.read } }
      | ^~~~~~
  hint: did you mean 'stages'?

1 error
)");

  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: exec, with: { rnu: x }, retries: { maxx: 2 } }
)"),
            R"(
pipeline.yaml:2:28: error: unknown key 'rnu' in with of exec
    2 |   a: { uses: exec, with: { rnu: x }, retries: { maxx: 2 } }
      |                            ^~~
  hint: did you mean 'run'?

pipeline.yaml:2:49: error: unknown key 'maxx' in retries
    2 |   a: { uses: exec, with: { rnu: x }, retries: { maxx: 2 } }
      |                                                 ^~~~
  hint: did you mean 'max'?

2 errors
)");
}

TEST(Refusals, NoStages) {
  EXPECT_EQ(Refusal(R"(name: x
)"),
            R"(
pipeline.yaml: error: the pipeline has no stages
  hint: for example stages: { pages: { uses: data.read } }

1 error
)");
}

TEST(Refusals, EmptyStages) {
  EXPECT_EQ(Refusal(R"(name: x
stages:
)"),
            R"(
pipeline.yaml:2:1: error: the pipeline has no stages
    2 | stages:
      | ^~~~~~
  hint: for example stages: { pages: { uses: data.read } }

1 error
)");
}

TEST(Refusals, NameThatIsNoText) {
  EXPECT_EQ(Refusal(R"(name: [a]
stages: { a: { uses: exec, with: { run: x } } }
)"),
            R"(
pipeline.yaml:1:7: error: name expects text, got a list
    1 | name: [a]
      |       ^

1 error
)");

  EXPECT_EQ(Refusal(R"(name: ""
stages: { a: { uses: exec, with: { run: x } } }
)"),
            R"(
pipeline.yaml:1:7: error: name expects text, got ''
    1 | name: ""
      |       ^~

1 error
)");
}

TEST(Refusals, StageWithoutUses) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    with: { path: x }
  other: data.read
  empty:
)"),
            R"(
pipeline.yaml:2:3: error: stage 'pages' has no 'uses'
    2 |   pages:
      |   ^~~~~
  hint: say which stage it is: uses: data.read, or uses: exec

pipeline.yaml:4:10: error: stage 'other' expects a mapping, got 'data.read'
    4 |   other: data.read
      |          ^~~~~~~~~
  hint: for example other: { uses: data.read }

pipeline.yaml:5:3: error: stage 'empty' expects a mapping, got nothing
    5 |   empty:
      |   ^~~~~
  hint: for example empty: { uses: data.read }

3 errors
)");
}

TEST(Refusals, UsesThatIsNoText) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: [data.read] }
  b: { uses: 3 }
  c: { uses: }
)"),
            R"(
pipeline.yaml:2:14: error: uses: expected the name of a stage, got a list
    2 |   a: { uses: [data.read] }
      |              ^

pipeline.yaml:3:14: error: uses: expected the name of a stage, got '3'
    3 |   b: { uses: 3 }
      |              ^

pipeline.yaml:4:8: error: uses: expected the name of a stage, got nothing
    4 |   c: { uses: }
      |        ^~~~

3 errors
)");
}

TEST(Refusals, BadStageName) {
  EXPECT_EQ(Refusal(R"(stages:
  a.b: { uses: exec, with: { run: x } }
)"),
            R"(
pipeline.yaml:2:3: error: 'a.b' cannot name a stage
    2 |   a.b: { uses: exec, with: { run: x } }
      |   ^~~
  hint: use letters, digits, - and _, a letter first

1 error
)");
}

TEST(Refusals, UnknownStages) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: train.loar }
  b: { uses: perplexity }
  c: { uses: quantum }
  d: { uses: "${{ params.x }}" }
)"),
            R"(
pipeline.yaml:2:14: error: unknown stage 'train.loar'
    2 |   a: { uses: train.loar }
      |              ^~~~~~~~~~
  hint: did you mean 'train.lora'?

pipeline.yaml:3:14: error: unknown stage 'perplexity'
    3 |   b: { uses: perplexity }
      |              ^~~~~~~~~~
  hint: did you mean 'eval.perplexity'?

pipeline.yaml:4:14: error: unknown stage 'quantum'
    4 |   c: { uses: quantum }
      |              ^~~~~~~
  hint: list the stages there are with: genflow stages ls

pipeline.yaml:5:14: error: uses: the name of a stage cannot be an expression
    5 |   d: { uses: "${{ params.x }}" }
      |              ^~~~~~~~~~~~~~~~~

4 errors
)");
}

TEST(Refusals, ManyErrorsComeSortedByPlace) {
  EXPECT_EQ(Refusal(R"(naem: x
params: { unused: 1 }
stages:
  pages:
    uses: data.raed
    with: { path: data/*.jsonl }
  clean:
    uses: data.clean
    in: { dataset: pgaes.dataset }
)"),
            R"(
pipeline.yaml:1:1: error: unknown key 'naem' in the pipeline
    1 | naem: x
      | ^~~~
  hint: did you mean 'name'?

pipeline.yaml:2:11: error: the parameter 'unused' is never used
    2 | params: { unused: 1 }
      |           ^~~~~~
  hint: use it as ${{ params.unused }}, or remove it

pipeline.yaml:5:11: error: unknown stage 'data.raed'
    5 |     uses: data.raed
      |           ^~~~~~~~~
  hint: did you mean 'data.read'?

pipeline.yaml:9:20: error: in.dataset: there is no stage 'pgaes'
    9 |     in: { dataset: pgaes.dataset }
      |                    ^~~~~
  hint: did you mean 'pages'?

4 errors
)");
}

}  // namespace
}  // namespace genflow
