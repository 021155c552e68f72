// Refusals of what expressions may not see or give, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

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
  hint: set the environment variable GENFLOW_SECRET_HF, or give a file with --secrets-file

1 error
)");
}

TEST(Refusals, BadSecretName) {
  EXPECT_EQ(Refusal(R"(stages:
  base:
    uses: model.import
    with: { path: model.gguf, token: "${{ secrets.hf-token }}" }
)"),
            R"(
pipeline.yaml:4:51: error: 'hf-token' cannot name a secret
    4 |     with: { path: model.gguf, token: "${{ secrets.hf-token }}" }
      |                                                   ^~~~~~~~
  hint: use letters, digits and _

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

TEST(Refusals, SecretInAFilePattern) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    with: { run: 'true', files: [a.txt, "${{ secrets.TOKEN }}"] }
)"),
            R"(
pipeline.yaml:4:41: error: with.files[1]: secrets cannot be used in file patterns
    4 |     with: { run: 'true', files: [a.txt, "${{ secrets.TOKEN }}"] }
      |                                         ^~~~~~~~~~~~~~~~~~~~~~

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

pipeline.yaml:8:59: error: stage 'b' has no output 'x'
    8 |   d: { uses: exec, with: { run: x }, if: stages.b.outputs.x }
      |                                                           ^
  hint: it has no outputs

4 errors
)");
}

}  // namespace
}  // namespace genflow
