// Refusals of stages, parameters, ports and edges, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

// Stages and parameters.

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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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

}  // namespace
}  // namespace genflow
