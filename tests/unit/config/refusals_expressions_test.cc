// Refusals of parameters and expressions, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

// Parameters of the pipeline.

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
)",
                    {{"a", "[1"}, {"b", "${{ secrets.TOKEN }}"}}),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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
)"),
            R"(
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

}  // namespace
}  // namespace genflow
