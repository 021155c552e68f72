// Every refusal of a pipeline file, as the user reads it.
#include <gtest/gtest.h>

#include "config/pipeline.h"
#include "unit/config/catalog.h"

namespace genflow {
namespace {

// Everything that is said about a pipeline file, behind a line break that makes the texts below readable.
std::string Refusal(const std::string& text, std::vector<std::pair<std::string, std::string>> overrides = {}) {
  const Catalog catalog = TestCatalog();
  LoadOptions options;
  options.catalog = &catalog;
  options.overrides = std::move(overrides);
  options.env = [](const std::string& name) -> std::optional<std::string> {
    if (name == "BAD") return "${{ secrets.TOKEN }}";
    return std::nullopt;
  };
  options.secrets = [](const std::string& name) -> std::optional<std::string> {
    if (name == "TOKEN") return "hunter2";
    return std::nullopt;
  };
  const LoadResult result = ParsePipeline(text, "pipeline.yaml", options);
  EXPECT_FALSE(result.pipeline.has_value());
  return "\n" + RenderDiagnostics(result.diagnostics);
}

// Syntax.

TEST(Refusals, TabIndentation) {
  EXPECT_EQ(Refusal(R"(stages:
	pages: 1
)"), R"(
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
)"), R"(
pipeline.yaml:2:28: error: not valid YAML: '{' is not closed by '}'
    2 |   pages: { uses: data.read
      |                           ^

1 error
)");
}

TEST(Refusals, UnclosedQuote) {
  EXPECT_EQ(Refusal(R"(name: "abc
stages: {}
)"), R"(
pipeline.yaml:1:7: error: not valid YAML: the quoted text is not closed
    1 | name: "abc
      |       ^

1 error
)");
}

TEST(Refusals, ColonInPlainText) {
  EXPECT_EQ(Refusal(R"(name: a: b
)"), R"(
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
)"), R"(
pipeline.yaml:4:4: error: not valid YAML: this line does not fit the mapping above it
    4 |    with: { path: x }
      |    ^
  hint: check the indentation, and that every key ends in ':'

1 error
)");
}

TEST(Refusals, BadEscape) {
  EXPECT_EQ(Refusal(R"(name: "\q"
)"), R"(
pipeline.yaml:1:10: error: not valid YAML: unknown escape in double quotes
    1 | name: "\q"
      |          ^
  hint: use single quotes, or write a backslash as \\

1 error
)");
}

TEST(Refusals, UndefinedAlias) {
  EXPECT_EQ(Refusal(R"(name: *nothing
)"), R"(
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
)"), R"(
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
)"), R"(
pipeline.yaml:1:7: error: tags such as '!lua' have no meaning here
    1 | name: !lua os.exit
      |       ^~~~

1 error
)");
}

TEST(Refusals, NotAMapping) {
  EXPECT_EQ(Refusal(R"(- a
- b
)"), R"(
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
)"), R"(
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
)"), R"(
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
)"), R"(
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
)"), R"(
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
)"), R"(
pipeline.yaml: error: the pipeline has no stages
  hint: for example stages: { pages: { uses: data.read } }

1 error
)");
}

TEST(Refusals, EmptyStages) {
  EXPECT_EQ(Refusal(R"(name: x
stages:
)"), R"(
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
)"), R"(
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
)"), R"(
pipeline.yaml:2:3: error: 'a.b' cannot name a stage
    2 |   a.b: { uses: exec, with: { run: x } }
      |   ^~~
  hint: use letters, digits, - and _, a letter first

1 error
)");
}

// Stages and parameters.

TEST(Refusals, UnknownStages) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: train.loar }
  b: { uses: perplexity }
  c: { uses: quantum }
  d: { uses: "${{ params.x }}" }
)"), R"(
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

TEST(Refusals, UnknownParameters) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { epoch: 1, r: 8, lora: { rank: 8 }, zzz: 1 }
)"), R"(
pipeline.yaml:11:13: error: 'train.lora' has no parameter 'epoch'
   11 |     with: { epoch: 1, r: 8, lora: { rank: 8 }, zzz: 1 }
      |             ^~~~~
  hint: did you mean 'epochs'?

pipeline.yaml:11:23: error: 'train.lora' has no parameter 'r'
   11 |     with: { epoch: 1, r: 8, lora: { rank: 8 }, zzz: 1 }
      |                       ^
  hint: did you mean 'lora.r'?

pipeline.yaml:11:37: error: 'train.lora' has no parameter 'lora.rank'
   11 |     with: { epoch: 1, r: 8, lora: { rank: 8 }, zzz: 1 }
      |                                     ^~~~
  hint: its keys: r, dropout, target_modules

pipeline.yaml:11:48: error: 'train.lora' has no parameter 'zzz'
   11 |     with: { epoch: 1, r: 8, lora: { rank: 8 }, zzz: 1 }
      |                                                ^~~
  hint: see: genflow stages show train.lora

4 errors
)");
}

TEST(Refusals, MissingRequiredParameter) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
  other:
    uses: data.read
    with:
)"), R"(
pipeline.yaml:2:3: error: stage 'pages' needs the parameter 'path' of data.read
    2 |   pages:
      |   ^~~~~
  hint: path: Files to read.

pipeline.yaml:4:3: error: stage 'other' needs the parameter 'path' of data.read
    4 |   other:
      |   ^~~~~
  hint: path: Files to read.

2 errors
)");
}

TEST(Refusals, WrongTypes) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: 
      epochs: abc
      lora: 8
      lr: fast
      packing: yes
      cache: 8Q
      save_every: soon
      note: [a]
      schedule: cosin
)"), R"(
pipeline.yaml:12:15: error: with.epochs: expected an integer, got 'abc'
   12 |       epochs: abc
      |               ^~~

pipeline.yaml:13:13: error: with.lora expects a mapping, got '8'
   13 |       lora: 8
      |             ^
  hint: its keys: r, dropout, target_modules

pipeline.yaml:14:11: error: with.lr: expected a number, got 'fast'
   14 |       lr: fast
      |           ^~~~

pipeline.yaml:15:16: error: with.packing: expected true or false, got 'yes'
   15 |       packing: yes
      |                ^~~
  hint: did you mean 'true'?

pipeline.yaml:16:14: error: with.cache: expected a size such as 512M or 8G, got '8Q'
   16 |       cache: 8Q
      |              ^~

pipeline.yaml:17:19: error: with.save_every: expected a duration such as 90s or 1h30m, got 'soon'
   17 |       save_every: soon
      |                   ^~~~

pipeline.yaml:18:13: error: with.note: expected text, got a list
   18 |       note: [a]
      |             ^

pipeline.yaml:19:17: error: with.schedule: expected one of cosine, linear, constant, got 'cosin'
   19 |       schedule: cosin
      |                 ^~~~~
  hint: did you mean 'cosine'?

8 errors
)");
}

TEST(Refusals, NothingGiven) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { epochs: , note: ~ }
)"), R"(
pipeline.yaml:11:13: error: with.epochs: expected an integer, got nothing
   11 |     with: { epochs: , note: ~ }
      |             ^~~~~~
  hint: remove the key to take the default, 1

pipeline.yaml:11:29: error: with.note: expected text, got nothing
   11 |     with: { epochs: , note: ~ }
      |                             ^

2 errors
)");
}

TEST(Refusals, OutOfRange) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { epochs: 0, lora: { r: 2000, dropout: 1.5 }, cache: 1K, save_every: 2d }
)"), R"(
pipeline.yaml:11:21: error: with.epochs: expected an integer between 1 and 1000, got '0'
   11 |     with: { epochs: 0, lora: { r: 2000, dropout: 1.5 }, cache: 1K, save_every: 2d }
      |                     ^

pipeline.yaml:11:35: error: with.lora.r: expected an integer between 1 and 1024, got '2000'
   11 |     with: { epochs: 0, lora: { r: 2000, dropout: 1.5 }, cache: 1K, save_every: 2d }
      |                                   ^~~~

pipeline.yaml:11:50: error: with.lora.dropout: expected a number between 0 and 1, got '1.5'
   11 |     with: { epochs: 0, lora: { r: 2000, dropout: 1.5 }, cache: 1K, save_every: 2d }
      |                                                  ^~~

pipeline.yaml:11:64: error: with.cache: expected a size of at least 1.0 MiB, got '1K'
   11 |     with: { epochs: 0, lora: { r: 2000, dropout: 1.5 }, cache: 1K, save_every: 2d }
      |                                                                ^~

pipeline.yaml:11:80: error: with.save_every: expected a duration between 1.0 s and 24h 00m, got '2d'
   11 |     with: { epochs: 0, lora: { r: 2000, dropout: 1.5 }, cache: 1K, save_every: 2d }
      |                                                                                ^~

5 errors
)");
}

TEST(Refusals, NotFinite) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { lr: .inf }
)"), R"(
pipeline.yaml:11:17: error: with.lr: expected a number, got '.inf'
   11 |     with: { lr: .inf }
      |                 ^~~~

1 error
)");
}

TEST(Refusals, GivenTwice) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { lora: { r: 8 }, lora.r: 9 }
)"), R"(
pipeline.yaml:11:29: error: with.lora.r is given twice
   11 |     with: { lora: { r: 8 }, lora.r: 9 }
      |                             ^~~~~~

1 error
)");
}

TEST(Refusals, SecretInClear) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf, token: hf_abcdef }
)"), R"(
pipeline.yaml:7:38: error: with.token is a secret, and cannot stand in a pipeline file
  hint: write ${{ secrets.NAME }} and set the environment variable GENFLOW_SECRET_NAME

1 error
)");
}

TEST(Refusals, ListEntries) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: [a.jsonl, {b: c}, ~] }
)"), R"(
pipeline.yaml:4:29: error: with.path[1]: expected a file pattern, got a mapping
    4 |     with: { path: [a.jsonl, {b: c}, ~] }
      |                             ^

pipeline.yaml:4:37: error: with.path[2]: expected a file pattern, got nothing
    4 |     with: { path: [a.jsonl, {b: c}, ~] }
      |                                     ^

2 errors
)");
}

// Ports.

TEST(Refusals, UnknownPort) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  clean:
    uses: data.clean
    in: { datset: pages.dataset }
)"), R"(
pipeline.yaml:7:11: error: 'data.clean' has no input 'datset'
    7 |     in: { datset: pages.dataset }
      |           ^~~~~~
  hint: did you mean 'dataset'?

1 error
)");
}

TEST(Refusals, MissingInputs) {
  EXPECT_EQ(Refusal(R"(stages:
  clean:
    uses: data.clean
  pages:
    uses: data.read
    with: { path: x }
  gate:
    uses: gate.metrics
    with: { require: x }
)"), R"(
pipeline.yaml:2:3: error: stage 'clean' needs the input 'dataset' of data.clean, a dataset
    2 |   clean:
      |   ^~~~~
  hint: for example, in: { dataset: pages.dataset }

pipeline.yaml:7:3: error: stage 'gate' needs the input 'report' of gate.metrics, a report
    7 |   gate:
      |   ^~~~

2 errors
)");
}

TEST(Refusals, PortTypeMismatch) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  clean:
    uses: data.clean
    in: { dataset: base.model }
  quality:
    uses: eval.perplexity
    in: { model: base.model, adapter: pages.dataset, dataset: clean.test }
)"), R"(
pipeline.yaml:10:20: error: in.dataset expects a dataset, but base.model is a model
   10 |     in: { dataset: base.model }
      |                    ^~~~~~~~~~

pipeline.yaml:13:39: error: in.adapter expects an adapter, but pages.dataset is a dataset
   13 |     in: { model: base.model, adapter: pages.dataset, dataset: clean.test }
      |                                       ^~~~~~~~~~~~~

2 errors
)");
}

TEST(Refusals, UnknownSources) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  clean:
    uses: data.clean
    in: { dataset: page.dataset }
  again:
    uses: data.clean
    in: { dataset: clean.trian }
  third:
    uses: data.clean
    in: { dataset: pages }
  fourth:
    uses: data.clean
    in: { dataset: clean }
  fifth:
    uses: data.clean
    in: { dataset: 3 }
    needs: [tune, [a]]
)"), R"(
pipeline.yaml:7:20: error: in.dataset: there is no stage 'page'
    7 |     in: { dataset: page.dataset }
      |                    ^~~~
  hint: did you mean 'pages'?

pipeline.yaml:10:26: error: in.dataset: stage 'clean' has no output 'trian'
   10 |     in: { dataset: clean.trian }
      |                          ^~~~~
  hint: did you mean 'train'?

pipeline.yaml:13:20: error: in.dataset: expected an output such as stage.port, got 'pages'
   13 |     in: { dataset: pages }
      |                    ^~~~~
  hint: did you mean 'pages.dataset'?

pipeline.yaml:16:20: error: in.dataset: expected an output such as stage.port, got 'clean'
   16 |     in: { dataset: clean }
      |                    ^~~~~
  hint: the outputs of 'clean': train, test

pipeline.yaml:19:20: error: in.dataset: expected an output such as stage.port, got '3'
   19 |     in: { dataset: 3 }
      |                    ^

pipeline.yaml:20:13: error: needs: there is no stage 'tune'
   20 |     needs: [tune, [a]]
      |             ^~~~

pipeline.yaml:20:19: error: needs: expected the name of a stage, got a list
   20 |     needs: [tune, [a]]
      |                   ^

7 errors
)");
}

TEST(Refusals, ListForOneArtifact) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  clean:
    uses: data.clean
    in: { dataset: [pages.dataset, pages.dataset] }
)"), R"(
pipeline.yaml:7:20: error: in.dataset takes one artifact, not a list
    7 |     in: { dataset: [pages.dataset, pages.dataset] }
      |                    ^

1 error
)");
}

TEST(Refusals, EmptyListOfArtifacts) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  gate:
    uses: gate.metrics
    in: { report: [] }
    with: { require: x }
)"), R"(
pipeline.yaml:7:19: error: in.report: the list is empty
    7 |     in: { report: [] }
      |                   ^

1 error
)");
}

TEST(Refusals, OutOutsideExec) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
    out: { a: file }
)"), R"(
pipeline.yaml:5:10: error: only a stage with uses: exec declares out
    5 |     out: { a: file }
      |          ^
  hint: the outputs of data.read are fixed: dataset

1 error
)");
}

// Cycles.

TEST(Refusals, Cycle) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: data.clean, in: { dataset: b.train } }
  b: { uses: data.clean, in: { dataset: a.train } }
)"), R"(
pipeline.yaml:3:41: error: the stages form a cycle: a -> b -> a
    3 |   b: { uses: data.clean, in: { dataset: a.train } }
      |                                         ^~~~~~~
  hint: remove one of these edges

1 error
)");
}

TEST(Refusals, SelfCycle) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    needs: a
    with: { run: echo }
)"), R"(
pipeline.yaml:4:12: error: the stages form a cycle: a -> a
    4 |     needs: a
      |            ^
  hint: remove one of these edges

1 error
)");
}

TEST(Refusals, TwoCycles) {
  EXPECT_EQ(Refusal(R"(stages:
  a: { uses: exec, with: { run: "cat ${{ stages.c.outputs.o }}" }, out: { o: file } }
  b: { uses: exec, needs: [a], with: { run: x } }
  c: { uses: exec, needs: [b], with: { run: x }, out: { o: file } }
  d: { uses: exec, needs: [e], with: { run: x } }
  e: { uses: exec, needs: [d], with: { run: x } }
)"), R"(
pipeline.yaml:3:28: error: the stages form a cycle: a -> b -> c -> a
    3 |   b: { uses: exec, needs: [a], with: { run: x } }
      |                            ^
  hint: remove one of these edges

pipeline.yaml:6:28: error: the stages form a cycle: d -> e -> d
    6 |   e: { uses: exec, needs: [d], with: { run: x } }
      |                            ^
  hint: remove one of these edges

2 errors
)");
}

// Parameters of the pipeline.

TEST(Refusals, UnusedParameters) {
  EXPECT_EQ(Refusal(R"(params: { epochs: 2, path: x }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)"), R"(
pipeline.yaml:1:11: error: the parameter 'epochs' is never used
    1 | params: { epochs: 2, path: x }
      |           ^~~~~~
  hint: use it as ${{ params.epochs }}, or remove it

1 error
)");
}

TEST(Refusals, ParameterWithoutValue) {
  EXPECT_EQ(Refusal(R"(params: { path: }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)"), R"(
pipeline.yaml:1:11: error: the parameter 'path' has no value
    1 | params: { path: }
      |           ^~~~
  hint: give one here, or with -p path=VALUE

1 error
)");
}

TEST(Refusals, SecretInParameters) {
  EXPECT_EQ(Refusal(R"(params: { path: "${{ secrets.TOKEN }}" }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)"), R"(
pipeline.yaml:1:30: error: secrets cannot be used in params
    1 | params: { path: "${{ secrets.TOKEN }}" }
      |                              ^~~~~

1 error
)");
}

TEST(Refusals, UnknownOverrides) {
  EXPECT_EQ(Refusal(R"(params: { path: x }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)", {{"pth", "1"}, {"other", "2"}}), R"(
error: -p pth: the pipeline has no parameter 'pth'
  hint: did you mean 'path'?

error: -p other: the pipeline has no parameter 'other'
  hint: its parameters: path

2 errors
)");
}

TEST(Refusals, OverridesOfTheWrongType) {
  EXPECT_EQ(Refusal(R"(params: { epochs: 2, list: [a] }
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { epochs: "${{ params.epochs }}", extra: "${{ params.list }}" }
)", {{"epochs", "abc"}, {"list", "x"}}), R"(
error: -p epochs=abc: expected an integer, like the default 2, got 'abc'

error: -p list=x: expected a list, like the default ["a"], got 'x'

2 errors
)");
}

TEST(Refusals, MalformedOverrides) {
  EXPECT_EQ(Refusal(R"(params: { a: 1, b: ' ' }
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { extra: ["${{ params.a }}", "${{ params.b }}"] }
)", {{"a", "[1"}, {"b", "${{ secrets.TOKEN }}"}}), R"(
error: -p a=[1: not valid YAML: '[' is not closed by ']'

error: -p b=${{ secrets.TOKEN }}: a value cannot hold '${{'

2 errors
)");
}

// Expressions.

TEST(Refusals, UnknownNames) {
  EXPECT_EQ(Refusal(R"(params: { epochs: 2 }
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: 
      note: "naïve → ${{ params.epochz }} ${{ param.epochs }} ${{ params.epochs-1 }}"
      extra: [ "${{ upper('a') }}", '${{ stages.tun.outputs.x }}', '${{ stages.pages.outputs.model }}' ]
)"), R"(
pipeline.yaml:13:33: error: unknown parameter 'epochz'
   13 |       note: "naïve → ${{ params.epochz }} ${{ param.epochs }} ${{ params.epochs-1 }}"
      |                                 ^~~~~~
  hint: did you mean 'epochs'?

pipeline.yaml:13:47: error: unknown name 'param'
   13 |       note: "naïve → ${{ params.epochz }} ${{ param.epochs }} ${{ params.epochs-1 }}"
      |                                               ^~~~~
  hint: did you mean 'params'?

pipeline.yaml:13:74: error: unknown parameter 'epochs-1'
   13 |       note: "naïve → ${{ params.epochz }} ${{ param.epochs }} ${{ params.epochs-1 }}"
      |                                                                          ^~~~~~~~
  hint: a subtraction needs spaces around '-'

pipeline.yaml:14:21: error: unknown function 'upper'
   14 |       extra: [ "${{ upper('a') }}", '${{ stages.tun.outputs.x }}', '${{ stages.pages.outputs.model }}' ]
      |                     ^~~~~
  hint: known functions: contains, endsWith, format, fromJSON, join, length, startsWith, toJSON

pipeline.yaml:14:49: error: there is no stage 'tun'
   14 |       extra: [ "${{ upper('a') }}", '${{ stages.tun.outputs.x }}', '${{ stages.pages.outputs.model }}' ]
      |                                                 ^~~
  hint: did you mean 'tune'?

pipeline.yaml:14:94: error: stage 'pages' has no output 'model'
   14 |       extra: [ "${{ upper('a') }}", '${{ stages.tun.outputs.x }}', '${{ stages.pages.outputs.model }}' ]
      |                                                                                              ^~~~~
  hint: its outputs: dataset

6 errors
)");
}

TEST(Refusals, Malformed) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: 
      extra:
        - ${{ 1 + }}
        - ${{ 1 +
        - ${{ }}
        - ${{ 'abc }}
        - ${{ "abc" }}
        - ${{ 1 2 }}
        - ${{ 1 = 2 }}
        - ${{ (1 }}
        - ${{ 1 # 2 }}
        - ${{ 12ab }}
)"), R"(
pipeline.yaml:13:19: error: the expression ends too early
   13 |         - ${{ 1 + }}
      |                   ^

pipeline.yaml:14:11: error: '${{' is not closed by '}}'
   14 |         - ${{ 1 +
      |           ^~~

pipeline.yaml:15:14: error: the expression is empty
   15 |         - ${{ }}
      |              ^

pipeline.yaml:16:11: error: '${{' is not closed by '}}'
   16 |         - ${{ 'abc }}
      |           ^~~

pipeline.yaml:17:15: error: text stands in single quotes
   17 |         - ${{ "abc" }}
      |               ^
  hint: write 'text'

pipeline.yaml:18:17: error: unexpected '2' after the expression
   18 |         - ${{ 1 2 }}
      |                 ^

pipeline.yaml:19:17: error: unexpected '=' after the expression
   19 |         - ${{ 1 = 2 }}
      |                 ^
  hint: compare with '=='

pipeline.yaml:20:18: error: expected ')' here
   20 |         - ${{ (1 }}
      |                  ^

pipeline.yaml:21:11: error: '${{' is not closed by '}}'
   21 |         - ${{ 1 # 2 }}
      |           ^~~

pipeline.yaml:22:15: error: '12ab' is not a number
   22 |         - ${{ 12ab }}
      |               ^~~~

10 errors
)");
}

TEST(Refusals, Evaluation) {
  EXPECT_EQ(Refusal(R"(params: { list: [1], map: { key: 1 } }
stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: 
      extra:
        - ${{ 1 / 0 }}
        - ${{ 'a' + 1 }}
        - ${{ params.list[3] }}
        - ${{ params.map.kye }}
        - ${{ params.list.x }}
        - a ${{ params.list }}
        - ${{ format('{1}', 2) }}
        - ${{ contains(1) }}
        - ${{ fromJSON('[') }}
)"), R"(
pipeline.yaml:14:17: error: division by zero
   14 |         - ${{ 1 / 0 }}
      |                 ^

pipeline.yaml:15:19: error: '+' takes numbers, not text
   15 |         - ${{ 'a' + 1 }}
      |                   ^
  hint: join text with format('{0}{1}', a, b)

pipeline.yaml:16:27: error: index 3 is outside the list of 1
   16 |         - ${{ params.list[3] }}
      |                           ^

pipeline.yaml:17:26: error: 'params.map' has no entry 'kye'
   17 |         - ${{ params.map.kye }}
      |                          ^~~
  hint: did you mean 'key'?

pipeline.yaml:18:27: error: cannot look into a list with a name
   18 |         - ${{ params.list.x }}
      |                           ^

pipeline.yaml:19:17: error: a list cannot be part of a text
   19 |         - a ${{ params.list }}
      |                 ^~~~~~~~~~~
  hint: use toJSON() or join()

pipeline.yaml:20:22: error: the format uses {1}, but has 1 value
   20 |         - ${{ format('{1}', 2) }}
      |                      ^~~~~

pipeline.yaml:21:15: error: contains() takes 2 arguments, not 1
   21 |         - ${{ contains(1) }}
      |               ^~~~~~~~

pipeline.yaml:22:24: error: not valid JSON: '['
   22 |         - ${{ fromJSON('[') }}
      |                        ^~~

9 errors
)");
}

TEST(Refusals, EnvironmentNotSet) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { note: "${{ env.NOPE }}", extra: "${{ env.BAD }}" }
)"), R"(
pipeline.yaml:11:24: error: the environment variable 'NOPE' is not set
   11 |     with: { note: "${{ env.NOPE }}", extra: "${{ env.BAD }}" }
      |                        ^~~~~~~~
  hint: give a default: ${{ env.NOPE || 'value' }}

pipeline.yaml:11:54: error: the environment variable 'BAD' cannot hold '${{'
   11 |     with: { note: "${{ env.NOPE }}", extra: "${{ env.BAD }}" }
      |                                                      ^~~

2 errors
)");
}

TEST(Refusals, SecretNotSet) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf, token: "${{ secrets.HF }}" }
)"), R"(
pipeline.yaml:7:51: error: the secret 'HF' is not set
    7 |     with: { path: model.gguf, token: "${{ secrets.HF }}" }
      |                                                   ^~
  hint: set the environment variable GENFLOW_SECRET_HF

1 error
)");
}

TEST(Refusals, SecretsAreNotLookedAt) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { note: "${{ secrets.TOKEN == 'a' }}", extra: "${{ toJSON(secrets.TOKEN) }}" }
)"), R"(
pipeline.yaml:11:38: error: a secret cannot be compared or taken apart
   11 |     with: { note: "${{ secrets.TOKEN == 'a' }}", extra: "${{ toJSON(secrets.TOKEN) }}" }
      |                                      ^~
  hint: it can be used as it is, or inside format() and join()

pipeline.yaml:11:69: error: a secret cannot be compared or taken apart
   11 |     with: { note: "${{ secrets.TOKEN == 'a' }}", extra: "${{ toJSON(secrets.TOKEN) }}" }
      |                                                                     ^~~~~~~
  hint: it can be used as it is, or inside format() and join()

2 errors
)");
}

TEST(Refusals, SecretInShellText) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    with:
      run: |
        set -u
        curl -H ${{ secrets.TOKEN }} x
)"), R"(
pipeline.yaml:7:29: error: secrets cannot be used in run
    7 |         curl -H ${{ secrets.TOKEN }} x
      |                             ^~~~~
  hint: pass it through env: and use the variable

1 error
)");
}

TEST(Refusals, PlaceholderCannotBeForged) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { note: "$${{ '{{' }} secrets.TOKEN#x }}", extra: "${{ format('${0}', '{{ x }}') }}" }
)"), R"(
pipeline.yaml:11:19: error: the text cannot hold '${{' once its expressions are filled in
   11 |     with: { note: "$${{ '{{' }} secrets.TOKEN#x }}", extra: "${{ format('${0}', '{{ x }}') }}" }
      |                   ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~

pipeline.yaml:11:66: error: the text cannot hold '${{'
   11 |     with: { note: "$${{ '{{' }} secrets.TOKEN#x }}", extra: "${{ format('${0}', '{{ x }}') }}" }
      |                                                                  ^~~~~~

2 errors
)");
}

TEST(Refusals, OutputForANumber) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: model.gguf }
  tune:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    with: { epochs: "${{ stages.pages.outputs.dataset }}" }
)"), R"(
pipeline.yaml:11:21: error: with.epochs: expected an integer, got the path of an output
   11 |     with: { epochs: "${{ stages.pages.outputs.dataset }}" }
      |                     ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~

1 error
)");
}

TEST(Refusals, Conditions) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
    if: maybe
  b: { uses: exec, with: { run: x }, if: 3 }
  c: { uses: exec, with: { run: x }, if: "a ${{ true }}" }
  d: { uses: exec, with: { run: x }, if: stages.b.outputs.x }
)"), R"(
pipeline.yaml:5:9: error: unknown name 'maybe'
    5 |     if: maybe
      |         ^~~~~
  hint: text stands in single quotes, parameters are written params.maybe

pipeline.yaml:6:42: error: if expects a condition, got '3'
    6 |   b: { uses: exec, with: { run: x }, if: 3 }
      |                                          ^
  hint: for example if: ${{ params.full }}

pipeline.yaml:7:42: error: if expects one condition, with nothing around its ${{ }}
    7 |   c: { uses: exec, with: { run: x }, if: "a ${{ true }}" }
      |                                          ^~~~~~~~~~~~~~~

pipeline.yaml:8:49: error: outputs of stages cannot be used in if
    8 |   d: { uses: exec, with: { run: x }, if: stages.b.outputs.x }
      |                                                 ^

4 errors
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
)"), R"(
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
)"), R"(
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
)"), R"(
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
)"), R"(
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
