// Refusals of parameters of the pipeline, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

TEST(Refusals, UnusedParameters) {
  EXPECT_EQ(Refusal(R"(params: { epochs: 2, path: x }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)"),
            R"(
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
)"),
            R"(
pipeline.yaml:1:11: error: the parameter 'path' has no value
    1 | params: { path: }
      |           ^~~~
  hint: give one here, or with -p path=VALUE

1 error
)");
}

TEST(Refusals, BadParameterName) {
  EXPECT_EQ(Refusal(R"(params: { path: x, 1st: a, "a b": c }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)"),
            R"(
pipeline.yaml:1:20: error: '1st' cannot name a parameter
    1 | params: { path: x, 1st: a, "a b": c }
      |                    ^~~
  hint: use letters, digits, - and _

pipeline.yaml:1:28: error: 'a b' cannot name a parameter
    1 | params: { path: x, 1st: a, "a b": c }
      |                            ^~~~~
  hint: use letters, digits, - and _

2 errors
)");
}

TEST(Refusals, SecretInParameters) {
  EXPECT_EQ(Refusal(R"(params: { path: "${{ secrets.TOKEN }}" }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)"),
            R"(
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
)",
                    {{"pth", "1"}, {"other", "2"}}),
            R"(
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
)",
                    {{"epochs", "abc"}, {"list", "x"}}),
            R"(
error: -p epochs=abc: expected a number, like the default 2, got 'abc'

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
)",
                    {{"a", "[1"}, {"b", "${{ secrets.TOKEN }}"}}),
            R"(
error: -p a=[1: not valid YAML: '[' is not closed by ']'

error: -p b=${{ secrets.TOKEN }}: a value cannot hold '${{'

2 errors
)");
}

TEST(Refusals, ParameterFileOfAnotherPipeline) {
  EXPECT_EQ(Refusal(R"(params: { path: x }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)",
                    {}, "pth: 1\nother: 2\n"),
            R"(
params.yaml:1:1: error: the pipeline has no parameter 'pth'
    1 | pth: 1
      | ^~~
  hint: did you mean 'path'?

params.yaml:2:1: error: the pipeline has no parameter 'other'
    2 | other: 2
      | ^~~~~
  hint: its parameters: path

2 errors
)");
}

TEST(Refusals, ParameterFileWithProblemsOfItsOwn) {
  EXPECT_EQ(Refusal(R"(params: { path: }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
    retires: 1
)",
                    {}, "path: data/x\npath: data/y\npth: a\npth: b\n"),
            R"(
params.yaml:2:1: error: the key 'path' is repeated
    2 | path: data/y
      | ^~~~
  hint: it is first given in line 1

params.yaml:3:1: error: the pipeline has no parameter 'pth'
    3 | pth: a
      | ^~~
  hint: did you mean 'path'?

params.yaml:4:1: error: the key 'pth' is repeated
    4 | pth: b
      | ^~~
  hint: it is first given in line 3

pipeline.yaml:6:5: error: unknown key 'retires' in stage 'pages'
    6 |     retires: 1
      |     ^~~~~~~
  hint: did you mean 'retries'?

4 errors
)");
}

// What it would have given is not asked for.
TEST(Refusals, ParameterFileThatIsNoYaml) {
  EXPECT_EQ(Refusal(R"(params: { path: }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)",
                    {}, "path: [data\n"),
            R"(
params.yaml:1:13: error: not valid YAML: '[' is not closed by ']'
    1 | path: [data
      |            ^

1 error
)");
}

TEST(Refusals, ParameterFileWithAPlaceholder) {
  EXPECT_EQ(Refusal(R"(params: { path: x }
stages:
  pages:
    uses: data.read
    with: { path: "${{ params.path }}" }
)",
                    {}, "path: ['${{ secrets.TOKEN }}']\n"),
            R"(
params.yaml:1:7: error: path: a value in a parameter file cannot hold '${{'
    1 | path: ['${{ secrets.TOKEN }}']
      |       ^

1 error
)");
}

}  // namespace
}  // namespace genflow
