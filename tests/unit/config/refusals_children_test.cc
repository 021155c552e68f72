// Refusals of references to the children of a matrix, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(MatrixRefusals, ABadMatrixIsReportedOnce) {
  EXPECT_EQ(Refusal(R"(stages:
  t:
    uses: exec
    matrix: { r: 8 }
    with: { run: "${{ matrix.r }}" }
    out: { o: file }
  u:
    uses: exec
    in: { all: t.o, one: "t[r=8].o" }
    needs: [t]
    with: { run: "${{ stages['t[r=8]'].outputs.o }}" }
)"),
            R"(
pipeline.yaml:4:18: error: matrix.r expects a list, got '8'
    4 |     matrix: { r: 8 }
      |                  ^
  hint: write r: [8]

1 error
)");
}

TEST(MatrixRefusals, MistakesOfAllChildrenAreSaidOnce) {
  EXPECT_EQ(Refusal(R"(stages:
  tune:
    uses: train.lora
    matrix: { r: [8, 16, 0, 5000] }
    with: { lora: { r: "${{ matrix.r }}" }, epocs: 3 }
  pages:
    uses: data.read
    matrix: { n: [1, 2] }
)"),
            R"(
pipeline.yaml:2:3: error: stage 'tune' needs the input 'dataset' of train.lora, a dataset
    2 |   tune:
      |   ^~~~
  hint: for example, in: { dataset: pages.dataset }

pipeline.yaml:2:3: error: stage 'tune' needs the input 'model' of train.lora, a model
    2 |   tune:
      |   ^~~~

pipeline.yaml:5:24: error: with.lora.r: expected an integer between 1 and 1024, got '0' (in tune[r=0])
    5 |     with: { lora: { r: "${{ matrix.r }}" }, epocs: 3 }
      |                        ^~~~~~~~~~~~~~~~~

pipeline.yaml:5:24: error: with.lora.r: expected an integer between 1 and 1024, got '5000' (in tune[r=5000])
    5 |     with: { lora: { r: "${{ matrix.r }}" }, epocs: 3 }
      |                        ^~~~~~~~~~~~~~~~~

pipeline.yaml:5:45: error: 'train.lora' has no parameter 'epocs'
    5 |     with: { lora: { r: "${{ matrix.r }}" }, epocs: 3 }
      |                                             ^~~~~
  hint: did you mean 'epochs'?

pipeline.yaml:6:3: error: stage 'pages' needs the parameter 'path' of data.read
    6 |   pages:
      |   ^~~~~
  hint: path: Files to read.

6 errors
)");
}

TEST(MatrixRefusals, UnknownChildren) {
  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read, with: { path: x } }
  base: { uses: model.import, with: { path: x } }
  tune:
    uses: train.lora
    matrix: { r: [8, 16], lr: [1e-4, 2e-4] }
    in: { dataset: pages.dataset, model: base.model }
  page:
    uses: exec
    in:
      a: tune[r=17,lr=2e-4].adapter
      b: tune[rr=8].adapter
      c: base[r=8].model
      d: tune[r].adapter
      e: tun[r=8].adapter
      f: tune[r=512].adapter
    needs: ["tune[r=9,lr=2e-4]", tnue]
    with: { run: "${{ stages['tune[r=9,lr=2e-4]'].outputs.adapter }}" }
)"),
            R"(
pipeline.yaml:11:10: error: in.a: 'tune' has no child 'tune[r=17,lr=2e-4]'
   11 |       a: tune[r=17,lr=2e-4].adapter
      |          ^~~~~~~~~~~~~~~~~~
  hint: did you mean 'tune[r=16,lr=2e-4]'?

pipeline.yaml:12:10: error: in.b: the matrix of 'tune' has no 'rr'
   12 |       b: tune[rr=8].adapter
      |          ^~~~~~~~~~
  hint: did you mean 'r'?

pipeline.yaml:13:10: error: in.c: stage 'base' has no matrix, so there is no 'base[r=8]'
   13 |       c: base[r=8].model
      |          ^~~~~~~~~
  hint: write base

pipeline.yaml:14:10: error: in.d: 'tune[r]' is no reference to a stage
   14 |       d: tune[r].adapter
      |          ^~~~~~~
  hint: a child of a matrix is written tune[r=8,lr=1e-4]

pipeline.yaml:15:10: error: in.e: there is no stage 'tun'
   15 |       e: tun[r=8].adapter
      |          ^~~
  hint: did you mean 'tune'?

pipeline.yaml:16:10: error: in.f: 'tune' has no child 'tune[r=512]'
   16 |       f: tune[r=512].adapter
      |          ^~~~~~~~~~~
  hint: its children: tune[r=8,lr=1e-4], tune[r=8,lr=2e-4], tune[r=16,lr=1e-4] and 1 more

pipeline.yaml:17:14: error: needs: 'tune' has no child 'tune[r=9,lr=2e-4]'
   17 |     needs: ["tune[r=9,lr=2e-4]", tnue]
      |              ^~~~~~~~~~~~~~~~~
  hint: did you mean 'tune[r=8,lr=2e-4]'?

pipeline.yaml:17:34: error: needs: there is no stage 'tnue'
   17 |     needs: ["tune[r=9,lr=2e-4]", tnue]
      |                                  ^~~~
  hint: did you mean 'tune'?

pipeline.yaml:18:30: error: 'tune' has no child 'tune[r=9,lr=2e-4]'
   18 |     with: { run: "${{ stages['tune[r=9,lr=2e-4]'].outputs.adapter }}" }
      |                              ^~~~~~~~~~~~~~~~~~~
  hint: did you mean 'tune[r=8,lr=2e-4]'?

9 errors
)");
}

TEST(MatrixRefusals, OnePortForManyChildren) {
  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read, with: { path: x } }
  base: { uses: model.import, with: { path: x } }
  tune:
    uses: train.lora
    matrix: { r: [8, 16], lr: [1e-4, 2e-4] }
    in: { dataset: pages.dataset, model: base.model }
  quality:
    uses: eval.perplexity
    in: { model: base.model, adapter: tune.adapter, dataset: pages.dataset }
  small:
    uses: eval.perplexity
    in: { model: base.model, adapter: "tune[r=8].adapter", dataset: pages.dataset }
  page:
    uses: exec
    with: { run: "${{ stages.tune.outputs.adapter }}" }
)"),
            R"(
pipeline.yaml:10:39: error: in.adapter takes one artifact, but tune.adapter is 4, one of each child of the matrix
   10 |     in: { model: base.model, adapter: tune.adapter, dataset: pages.dataset }
      |                                       ^~~~~~~~~~~~
  hint: name one: tune[r=8,lr=1e-4].adapter

pipeline.yaml:13:39: error: in.adapter takes one artifact, but tune[r=8].adapter is 2, one of each child of the matrix
   13 |     in: { model: base.model, adapter: "tune[r=8].adapter", dataset: pages.dataset }
      |                                       ^~~~~~~~~~~~~~~~~~~
  hint: name one: tune[r=8,lr=1e-4].adapter

pipeline.yaml:16:30: error: 'tune' is 4 stages of a matrix
   16 |     with: { run: "${{ stages.tune.outputs.adapter }}" }
      |                              ^~~~
  hint: name one: stages['tune[r=8,lr=1e-4]'].outputs.adapter, or take them all at an input port

3 errors
)");
}

TEST(MatrixRefusals, EdgesTakeNoOtherExpressions) {
  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read, with: { path: x } }
  base: { uses: model.import, with: { path: x } }
  tune:
    uses: train.lora
    matrix: { r: [8, 16], lr: [1e-4, 2e-4] }
    in: { dataset: pages.dataset, model: base.model }
  quality:
    uses: eval.perplexity
    matrix: { r: [8] }
    in: { model: "${{ env.HOME }}.model", adapter: "tune[r=${{ matrix.s }}].adapter", dataset: pages.dataset }
)"),
            R"(
pipeline.yaml:11:27: error: environment variables cannot be used in an edge
   11 |     in: { model: "${{ env.HOME }}.model", adapter: "tune[r=${{ matrix.s }}].adapter", dataset: pages.dataset }
      |                           ^~~~

pipeline.yaml:11:71: error: the matrix has no 's'
   11 |     in: { model: "${{ env.HOME }}.model", adapter: "tune[r=${{ matrix.s }}].adapter", dataset: pages.dataset }
      |                                                                       ^
  hint: did you mean 'r'?

2 errors
)");
}

TEST(MatrixRefusals, PortsOfChildren) {
  EXPECT_EQ(Refusal(R"(stages:
  pages: { uses: data.read, with: { path: x } }
  base: { uses: model.import, with: { path: x } }
  tune:
    uses: train.lora
    matrix: { r: [8, 16], lr: [1e-4, 2e-4] }
    in: { dataset: pages.dataset, model: base.model }
  gate:
    uses: gate.metrics
    in: { report: tune.adapter }
    with: { require: x }
  page:
    uses: exec
    in: { a: tune, b: "tune[r=8].adaptor" }
    with: { run: x }
)"),
            R"(
pipeline.yaml:10:19: error: in.report expects a report, but tune.adapter is an adapter
   10 |     in: { report: tune.adapter }
      |                   ^~~~~~~~~~~~

pipeline.yaml:14:14: error: in.a: expected an output such as stage.port, got 'tune'
   14 |     in: { a: tune, b: "tune[r=8].adaptor" }
      |              ^~~~
  hint: did you mean 'tune.adapter'?

pipeline.yaml:14:34: error: in.b: stage 'tune[r=8]' has no output 'adaptor'
   14 |     in: { a: tune, b: "tune[r=8].adaptor" }
      |                                  ^~~~~~~
  hint: did you mean 'adapter'?

3 errors
)");
}

TEST(MatrixRefusals, ACycleThroughChildren) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    matrix: { r: [1, 2] }
    needs: [b]
    with: { run: x }
  b:
    uses: exec
    needs: ["a[r=2]"]
    with: { run: x }
)"),
            R"(
pipeline.yaml:9:13: error: the stages form a cycle: a[r=2] -> b -> a[r=2]
    9 |     needs: ["a[r=2]"]
      |             ^~~~~~~~
  hint: remove one of these edges

1 error
)");
}

}  // namespace
}  // namespace genflow
