// Refusals of expressions, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

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

TEST(Refusals, UnknownNamesThatAreNearNone) {
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
      note: ${{ params.nothing }}
      extra: [ "${{ stages.clean.outputs.x }}", "${{ stages.quiet.outputs.x }}" ]
  quiet:
    uses: exec
    with: { run: x }
)"),
            R"(
pipeline.yaml:12:24: error: unknown parameter 'nothing'
   12 |       note: ${{ params.nothing }}
      |                        ^~~~~~~
  hint: define it under params:

pipeline.yaml:13:28: error: there is no stage 'clean'
   13 |       extra: [ "${{ stages.clean.outputs.x }}", "${{ stages.quiet.outputs.x }}" ]
      |                            ^~~~~

pipeline.yaml:13:75: error: stage 'quiet' has no output 'x'
   13 |       extra: [ "${{ stages.clean.outputs.x }}", "${{ stages.quiet.outputs.x }}" ]
      |                                                                           ^
  hint: it has no outputs

3 errors
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

TEST(Refusals, FormatBraces) {
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
        - ${{ format('{', 1) }}
        - ${{ format('{x}', 1) }}
        - ${{ format('a } b', 1) }}
)"),
            R"(
pipeline.yaml:13:22: error: '{' in a format is followed by a number and '}'
   13 |         - ${{ format('{', 1) }}
      |                      ^~~
  hint: write '{{' for a brace

pipeline.yaml:14:22: error: '{' in a format is followed by a number and '}'
   14 |         - ${{ format('{x}', 1) }}
      |                      ^~~~~
  hint: write '{{' for a brace

pipeline.yaml:15:22: error: '}' in a format is written '}}'
   15 |         - ${{ format('a } b', 1) }}
      |                      ^~~~~~~

3 errors
)");
}

}  // namespace
}  // namespace genflow
