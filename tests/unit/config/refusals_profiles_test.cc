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
            R"()");
}

TEST(ProfileRefusals, NoProfiles) {
  EXPECT_EQ(WithProfiles(R"(stages:
  a: { uses: exec, with: { run: x } }
)",
                         {"ci"}),
            R"()");
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
      a: { retrys: 1, with: {} }
      b: 3
    env: 7
  night: [1]
stages:
  a: { uses: exec, with: { run: "${{ params.epochs }}" } }
  b: { uses: exec, with: { run: x } }
)"),
            R"()");
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
            R"()");
}

TEST(ProfileRefusals, UnknownTopKey) {
  EXPECT_EQ(WithProfiles(R"(profile: {}
environment: {}
stages:
  a: { uses: exec, with: { run: x } }
)"),
            R"()");
}

}  // namespace
}  // namespace genflow
