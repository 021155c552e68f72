// Refusals of the text and of its keys, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

// Syntax.

TEST(Refusals, TabIndentation) {
  EXPECT_EQ(Refusal(R"(stages:
	pages: 1
)"),
            R"(
pipeline.yaml:2:1: error: a tab cannot indent a line in YAML
    2 |  pages: 1
      | ^
  hint: use spaces

1 error
)");
}

TEST(Refusals, UnclosedMapping) {
  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read
)"),
            R"(
pipeline.yaml:2:28: error: not valid YAML: '{' is not closed by '}'
    2 |   pages: { uses: data.read
      |                           ^

1 error
)");
}

TEST(Refusals, UnclosedQuote) {
  EXPECT_EQ(Refusal(R"(name: "abc
stages: {}
)"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: the quoted text is not closed
    1 | name: "abc
      |       ^

1 error
)");
}

TEST(Refusals, ColonInPlainText) {
  EXPECT_EQ(Refusal(R"(name: a: b
)"),
            R"(
pipeline.yaml:1:8: error: not valid YAML: a ':' that starts a value cannot stand here
    1 | name: a: b
      |        ^
  hint: put text that holds ': ' in quotes, or end the key in the line above with ':'

1 error
)");
}

TEST(Refusals, WrongIndentation) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
   with: { path: x }
)"),
            R"(
pipeline.yaml:4:4: error: not valid YAML: this line does not fit the mapping above it
    4 |    with: { path: x }
      |    ^
  hint: check the indentation, and that every key ends in ':'

1 error
)");
}

TEST(Refusals, BadEscape) {
  EXPECT_EQ(Refusal(R"(name: "\q"
)"),
            R"(
pipeline.yaml:1:10: error: not valid YAML: unknown escape in double quotes
    1 | name: "\q"
      |          ^
  hint: use single quotes, or write a backslash as \\

1 error
)");
}

TEST(Refusals, UndefinedAlias) {
  EXPECT_EQ(Refusal(R"(name: *nothing
)"),
            R"(
pipeline.yaml:1:7: error: not valid YAML: this alias refers to no anchor
    1 | name: *nothing
      |       ^
  hint: define it above as &name

1 error
)");
}

TEST(Refusals, SecondDocument) {
  EXPECT_EQ(Refusal(R"(name: a
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
---
name: b
)"),
            R"(
pipeline.yaml:7:1: error: the file holds a second document
    7 | name: b
      | ^
  hint: keep one, without '---' between

1 error
)");
}

TEST(Refusals, CustomTag) {
  EXPECT_EQ(Refusal(R"(name: !lua os.exit
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
)"),
            R"(
pipeline.yaml:1:7: error: tags such as '!lua' have no meaning here
    1 | name: !lua os.exit
      |       ^~~~

1 error
)");
}

TEST(Refusals, NotAMapping) {
  EXPECT_EQ(Refusal(R"(- a
- b
)"),
            R"(
pipeline.yaml:1:1: error: a pipeline file expects a mapping, got a list
    1 | - a
      | ^

1 error
)");
}

TEST(Refusals, EmptyFile) {
  EXPECT_EQ(Refusal(""), R"(
pipeline.yaml: error: the file is empty
  hint: a pipeline starts with name: and has stages:

1 error
)");
}

TEST(Refusals, CommentsAlone) {
  EXPECT_EQ(Refusal(R"(# nothing yet
)"),
            R"(
pipeline.yaml: error: the file is empty
  hint: a pipeline starts with name: and has stages:

1 error
)");
}

TEST(Refusals, NestingTooDeep) {
  EXPECT_EQ(Refusal("name: " + std::string(70, '[') + "\n"), R"(
pipeline.yaml:1:39: error: values are nested more than 64 levels deep
    1 | name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[
      |                                       ^

1 error
)");
}

TEST(Refusals, NotUtf8) {
  EXPECT_EQ(Refusal("name: caf\xe9\n"), R"(
pipeline.yaml:1:10: error: the file is not UTF-8 text
  hint: save it with the encoding UTF-8

1 error
)");
}

// Keys.

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
  hint: known keys: name, params, defaults, stages

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

// Settings.

TEST(Refusals, BadSettings) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
    retries: -1
    timeout: soon
    resources: { cpus: 0, gpus: 2..1, memory: lots, tpus: 1 }
    env: { 1A: x, GENFLOW_IN_X: y, B: [1] }
  b:
    uses: exec
    with: { run: x }
    retries: { backoff: 1x }
    timeout: 0
    resources: 4
)"),
            R"(
pipeline.yaml:5:14: error: retries: expected an integer between 0 and 100, got '-1'
    5 |     retries: -1
      |              ^~

pipeline.yaml:6:14: error: timeout: expected a duration such as 90s or 1h30m, got 'soon'
    6 |     timeout: soon
      |              ^~~~

pipeline.yaml:7:24: error: resources.cpus: expected at least 1, got '0'
    7 |     resources: { cpus: 0, gpus: 2..1, memory: lots, tpus: 1 }
      |                        ^

pipeline.yaml:7:33: error: resources.gpus: the range 2..1 is empty
    7 |     resources: { cpus: 0, gpus: 2..1, memory: lots, tpus: 1 }
      |                                 ^~~~
  hint: did you mean '1..2'?

pipeline.yaml:7:47: error: resources.memory: expected a size such as 512M or 8G, got 'lots'
    7 |     resources: { cpus: 0, gpus: 2..1, memory: lots, tpus: 1 }
      |                                               ^~~~

pipeline.yaml:7:53: error: unknown key 'tpus' in resources
    7 |     resources: { cpus: 0, gpus: 2..1, memory: lots, tpus: 1 }
      |                                                     ^~~~
  hint: did you mean 'cpus'?

pipeline.yaml:8:12: error: '1A' cannot name an environment variable
    8 |     env: { 1A: x, GENFLOW_IN_X: y, B: [1] }
      |            ^~
  hint: use letters, digits and _

pipeline.yaml:8:19: error: environment variables that start with GENFLOW_ are set by genflow
    8 |     env: { 1A: x, GENFLOW_IN_X: y, B: [1] }
      |                   ^~~~~~~~~~~~

pipeline.yaml:8:39: error: env.B expects text, got a list
    8 |     env: { 1A: x, GENFLOW_IN_X: y, B: [1] }
      |                                       ^

pipeline.yaml:12:14: error: retries needs the key 'max'
   12 |     retries: { backoff: 1x }
      |              ^
  hint: for example retries: { max: 2, backoff: 10s }

pipeline.yaml:12:25: error: retries.backoff: expected a duration such as 90s or 1h30m, got '1x'
   12 |     retries: { backoff: 1x }
      |                         ^~

pipeline.yaml:13:14: error: timeout: expected a duration such as 90s or 1h30m, got '0'
   13 |     timeout: 0
      |              ^

pipeline.yaml:14:16: error: resources expects a mapping, got '4'
   14 |     resources: 4
      |                ^

13 errors
)");
}

TEST(Refusals, BadDefaults) {
  EXPECT_EQ(Refusal(R"(defaults: { retry: 1, retries: { max: 1000 }, timeout: true }
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
)"),
            R"(
pipeline.yaml:1:13: error: unknown key 'retry' in defaults
    1 | defaults: { retry: 1, retries: { max: 1000 }, timeout: true }
      |             ^~~~~
  hint: known keys: retries, timeout, resources, env

pipeline.yaml:1:39: error: retries.max: expected an integer between 0 and 100, got '1000'
    1 | defaults: { retry: 1, retries: { max: 1000 }, timeout: true }
      |                                       ^~~~

pipeline.yaml:1:56: error: timeout: expected a duration such as 90s or 1h30m, got 'true'
    1 | defaults: { retry: 1, retries: { max: 1000 }, timeout: true }
      |                                                        ^~~~

3 errors
)");
}

TEST(Refusals, ExecRefusals) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    in: { a: b.x, A: b.x, c-d: b.x }
    out: { y: datset, z-: file }
    with: { cmd: x }
  b:
    uses: exec
    with: { run: " " }
    out: { x: file }
)"),
            R"(
pipeline.yaml:2:3: error: stage 'a' needs the parameter 'run' of exec
    2 |   a:
      |   ^
  hint: with: { run: "shell text" }

pipeline.yaml:4:19: error: in.A and in.a would share one environment variable
    4 |     in: { a: b.x, A: b.x, c-d: b.x }
      |                   ^

pipeline.yaml:4:27: error: 'c-d' cannot name a port
    4 |     in: { a: b.x, A: b.x, c-d: b.x }
      |                           ^~~
  hint: use letters, digits and _

pipeline.yaml:5:15: error: out.y: expected an artifact type, got 'datset'
    5 |     out: { y: datset, z-: file }
      |               ^~~~~~
  hint: did you mean 'dataset'?

pipeline.yaml:5:23: error: 'z-' cannot name a port
    5 |     out: { y: datset, z-: file }
      |                       ^~
  hint: use letters, digits and _

pipeline.yaml:6:13: error: unknown key 'cmd' in with of exec
    6 |     with: { cmd: x }
      |             ^~~
  hint: known keys: run, files

pipeline.yaml:9:18: error: with.run is empty
    9 |     with: { run: " " }
      |                  ^~~

7 errors
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
