// Refusals of `profiles:` and `env:`, as the user reads them.
#include "unit/config/refusal.h"

namespace genflow {
namespace {

// What is said about a pipeline with profiles in force.
std::string WithProfiles(const std::string& text, std::vector<std::string> profiles = {}) {
  const Catalog catalog = TestCatalog();
  LoadOptions options;
  options.catalog = &catalog;
  options.profiles = std::move(profiles);
  const LoadResult result = ParsePipeline(text, "pipeline.yaml", options);
  EXPECT_FALSE(result.pipeline.has_value());
  return "\n" + RenderDiagnostics(result.diagnostics);
}

TEST(ProfileRefusals, UnknownProfile) {
  EXPECT_EQ(WithProfiles(R"(params: { epochs: 3 }
profiles:
  ci: { params: { epochs: 1 } }
  night: {}
stages:
  a: { uses: exec, with: { run: "${{ params.epochs }}" } }
)",
                         {"c1", "weekly"}),
            R"(
error: --profile c1: the pipeline has no profile 'c1'
  hint: did you mean 'ci'?

error: --profile weekly: the pipeline has no profile 'weekly'
  hint: its profiles: ci, night

2 errors
)");
}

TEST(ProfileRefusals, NoProfiles) {
  EXPECT_EQ(WithProfiles(R"(stages:
  a: { uses: exec, with: { run: x } }
)",
                         {"ci"}),
            R"(
error: --profile ci: the pipeline has no profile 'ci'
  hint: it has no profiles

1 error
)");
}

TEST(ProfileRefusals, WhatTheyHold) {
  EXPECT_EQ(WithProfiles(R"(params: { epochs: 3 }
profiles:
  a b: {}
  ci:
    parms: {}
    params: { epoch: 1 }
    stages:
      tune: { with: { r: 1 } }
      a: { retires: 1, with: {} }
      b: 3
    env: 7
  night: [1]
stages:
  a: { uses: exec, with: { run: "${{ params.epochs }}" } }
  b: { uses: exec, with: { run: x } }
)"),
            R"(
pipeline.yaml:3:3: error: 'a b' cannot name a profile
    3 |   a b: {}
      |   ^~~
  hint: use letters, digits, - and _

pipeline.yaml:5:5: error: unknown key 'parms' in profiles.ci
    5 |     parms: {}
      |     ^~~~~
  hint: did you mean 'params'?

pipeline.yaml:6:15: error: profiles.ci.params: the pipeline has no parameter 'epoch'
    6 |     params: { epoch: 1 }
      |               ^~~~~
  hint: did you mean 'epochs'?

pipeline.yaml:8:7: error: profiles.ci.stages: the pipeline has no stage 'tune'
    8 |       tune: { with: { r: 1 } }
      |       ^~~~

pipeline.yaml:8:15: error: unknown key 'with' in profiles.ci.stages.tune
    8 |       tune: { with: { r: 1 } }
      |               ^~~~
  hint: known keys: retries, timeout, resources, env

pipeline.yaml:9:12: error: unknown key 'retires' in profiles.ci.stages.a
    9 |       a: { retires: 1, with: {} }
      |            ^~~~~~~
  hint: did you mean 'retries'?

pipeline.yaml:9:24: error: unknown key 'with' in profiles.ci.stages.a
    9 |       a: { retires: 1, with: {} }
      |                        ^~~~
  hint: known keys: retries, timeout, resources, env

pipeline.yaml:10:10: error: profiles.ci.stages.b expects a mapping, got '3'
   10 |       b: 3
      |          ^

pipeline.yaml:12:10: error: profiles.night expects a mapping, got a list
   12 |   night: [1]
      |          ^

9 errors
)");
}

TEST(ProfileRefusals, ValuesOfWhatIsInForce) {
  EXPECT_EQ(WithProfiles(R"(params: { epochs: 3 }
env: { GENFLOW_X: 1, OK: "${{ params.epoch }}" }
profiles:
  ci:
    params: { epochs: "${{ env.NOPE }}" }
    env: { 1A: x }
    defaults: { timeout: soon, retires: 1 }
    stages: { a: { resources: { cpus: none } } }
stages:
  a: { uses: exec, with: { run: "${{ params.epochs }}" } }
)",
                         {"ci"}),
            R"(
pipeline.yaml:2:8: error: environment variables that start with GENFLOW_ are set by genflow
    2 | env: { GENFLOW_X: 1, OK: "${{ params.epoch }}" }
      |        ^~~~~~~~~

pipeline.yaml:2:38: error: unknown parameter 'epoch'
    2 | env: { GENFLOW_X: 1, OK: "${{ params.epoch }}" }
      |                                      ^~~~~
  hint: did you mean 'epochs'?

pipeline.yaml:5:28: error: the environment variable 'NOPE' is not set
    5 |     params: { epochs: "${{ env.NOPE }}" }
      |                            ^~~~~~~~
  hint: give a default: ${{ env.NOPE || 'value' }}

pipeline.yaml:6:12: error: '1A' cannot name an environment variable
    6 |     env: { 1A: x }
      |            ^~
  hint: use letters, digits and _

pipeline.yaml:7:26: error: timeout: expected a duration such as 90s or 1h30m, got 'soon'
    7 |     defaults: { timeout: soon, retires: 1 }
      |                          ^~~~

pipeline.yaml:7:32: error: unknown key 'retires' in defaults
    7 |     defaults: { timeout: soon, retires: 1 }
      |                                ^~~~~~~
  hint: did you mean 'retries'?

pipeline.yaml:8:39: error: resources.cpus: expected a number such as 2, or a range such as 0..1, got 'none'
    8 |     stages: { a: { resources: { cpus: none } } }
      |                                       ^~~~

7 errors
)");
}

TEST(ProfileRefusals, UnknownTopKey) {
  EXPECT_EQ(WithProfiles(R"(profile: {}
environment: {}
stages:
  a: { uses: exec, with: { run: x } }
)"),
            R"(
pipeline.yaml:1:1: error: unknown key 'profile' in the pipeline
    1 | profile: {}
      | ^~~~~~~
  hint: did you mean 'profiles'?

pipeline.yaml:2:1: error: unknown key 'environment' in the pipeline
    2 | environment: {}
      | ^~~~~~~~~~~
  hint: known keys: name, params, env, inputs, outputs, defaults, profiles, stages

2 errors
)");
}

}  // namespace
}  // namespace genflow
