// Refusals of ports, edges and cycles, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

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

TEST(Refusals, UnknownPortThatIsNearNone) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
    in: { text: pages.dataset }
  base:
    uses: model.import
    with: { path: model.gguf }
  quality:
    uses: eval.perplexity
    in: { model: base.model, dataset: pages.dataset, settings: pages.dataset }
)"),
            R"(
pipeline.yaml:5:11: error: 'data.read' has no input 'text'
    5 |     in: { text: pages.dataset }
      |           ^~~~
  hint: it has no inputs

pipeline.yaml:11:54: error: 'eval.perplexity' has no input 'settings'
   11 |     in: { model: base.model, dataset: pages.dataset, settings: pages.dataset }
      |                                                      ^~~~~~~~
  hint: its inputs: model, adapter, dataset

2 errors
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

TEST(Refusals, UnknownOutputThatIsNearNone) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  clean:
    uses: data.clean
    in: { dataset: pages.dataset }
  again:
    uses: data.clean
    in: { dataset: clean.everything }
  quiet:
    uses: exec
    with: { run: "true" }
  third:
    uses: data.clean
    in: { dataset: quiet.dataset }
  fourth:
    uses: data.clean
    in: { dataset: quiet }
)"),
            R"(
pipeline.yaml:10:26: error: in.dataset: stage 'clean' has no output 'everything'
   10 |     in: { dataset: clean.everything }
      |                          ^~~~~~~~~~
  hint: its outputs: train, test

pipeline.yaml:16:26: error: in.dataset: stage 'quiet' has no output 'dataset'
   16 |     in: { dataset: quiet.dataset }
      |                          ^~~~~~~
  hint: it has no outputs

pipeline.yaml:19:20: error: in.dataset: expected an output such as stage.port, got 'quiet'
   19 |     in: { dataset: quiet }
      |                    ^~~~~

3 errors
)");
}

TEST(Refusals, EdgeFromAnExpression) {
  EXPECT_EQ(Refusal(R"(params: { from: pages.dataset }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.from }}" }
  clean:
    uses: data.clean
    in: { dataset: "${{ params.from }}" }
)"),
            R"(
pipeline.yaml:8:20: error: in.dataset: an edge cannot be an expression
    8 |     in: { dataset: "${{ params.from }}" }
      |                    ^~~~~~~~~~~~~~~~~~~~
  hint: write stage.port

1 error
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

TEST(Refusals, ListForAPortOfExec) {
  EXPECT_EQ(Refusal(R"(stages:
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  count:
    uses: exec
    in: { text: [pages.dataset, pages.dataset] }
    with: { run: x }
)"),
            R"(
pipeline.yaml:7:17: error: in.text takes one artifact, not a list
    7 |     in: { text: [pages.dataset, pages.dataset] }
      |                 ^
  hint: give each artifact a port of its own

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
