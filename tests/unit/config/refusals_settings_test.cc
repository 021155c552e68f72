// Refusals of stages' settings, of defaults and of exec, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

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
  c:
    uses: exec
    with: { run: x }
    timeout: 1h30
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

pipeline.yaml:18:14: error: timeout: expected a duration such as 90s or 1h30m, got '1h30'
   18 |     timeout: 1h30
      |              ^~~~
  hint: did you mean '1h30m'?

14 errors
)");
}

TEST(Refusals, BadRanges) {
  EXPECT_EQ(Refusal(R"(stages:
  a:
    uses: exec
    with: { run: x }
    resources: { cpus: two, gpus: 0..many }
  b:
    uses: exec
    with: { run: x }
    resources: { cpus: [1], gpus: -1 }
)"),
            R"(
pipeline.yaml:5:24: error: resources.cpus: expected a number such as 2, or a range such as 0..1, got 'two'
    5 |     resources: { cpus: two, gpus: 0..many }
      |                        ^~~

pipeline.yaml:5:35: error: resources.gpus: expected a number such as 2, or a range such as 0..1, got '0..many'
    5 |     resources: { cpus: two, gpus: 0..many }
      |                                   ^~~~~~~

pipeline.yaml:9:24: error: resources.cpus: expected a number such as 2, or a range such as 0..1, got a list
    9 |     resources: { cpus: [1], gpus: -1 }
      |                        ^

pipeline.yaml:9:35: error: resources.gpus: expected a number such as 2, or a range such as 0..1, got '-1'
    9 |     resources: { cpus: [1], gpus: -1 }
      |                                   ^~

4 errors
)");
}

TEST(Refusals, BadProcesses) {
  EXPECT_EQ(Refusal(R"(defaults: { resources: { processes: 2 } }
stages:
  a:
    uses: exec
    with: { run: x }
    resources: { processes: 2 }
  pages:
    uses: data.read
    with: { path: data/*.jsonl }
  base:
    uses: model.import
    with: { path: x }
    resources: { processes: 3 }
  b:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    resources: { processes: 0 }
  c:
    uses: train.lora
    in: { dataset: pages.dataset, model: base.model }
    resources: { processes: 1..2 }
)"),
            R"(
pipeline.yaml:6:29: error: resources.processes: exec runs in one process
    6 |     resources: { processes: 2 }
      |                             ^
  hint: stages that can run in several say so in `genflow stages show`

pipeline.yaml:13:29: error: resources.processes: model.import runs in one process
   13 |     resources: { processes: 3 }
      |                             ^
  hint: stages that can run in several say so in `genflow stages show`

pipeline.yaml:17:29: error: resources.processes: expected a number from 1 to 64, got '0'
   17 |     resources: { processes: 0 }
      |                             ^

pipeline.yaml:21:29: error: resources.processes: expected a number from 1 to 64, got '1..2'
   21 |     resources: { processes: 1..2 }
      |                             ^~~~

4 errors
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
  hint: use letters, digits and _, a letter first

pipeline.yaml:5:15: error: out.y: expected an artifact type, got 'datset'
    5 |     out: { y: datset, z-: file }
      |               ^~~~~~
  hint: did you mean 'dataset'?

pipeline.yaml:5:23: error: 'z-' cannot name a port
    5 |     out: { y: datset, z-: file }
      |                       ^~
  hint: use letters, digits and _, a letter first

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

}  // namespace
}  // namespace genflow
