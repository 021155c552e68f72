// Refusals of stages' parameters, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

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

TEST(Refusals, WordsForTrueAndFalse) {
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
    with: { packing: off }
)"),
            R"(
pipeline.yaml:11:22: error: with.packing: expected true or false, got 'off'
   11 |     with: { packing: off }
      |                      ^~~
  hint: did you mean 'false'?

1 error
)");

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
    with: { packing: 1 }
)"),
            R"(
pipeline.yaml:11:22: error: with.packing: expected true or false, got '1'
   11 |     with: { packing: 1 }
      |                      ^
  hint: did you mean 'true'?

1 error
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

}  // namespace
}  // namespace genflow
