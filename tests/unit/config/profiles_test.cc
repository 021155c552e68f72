// `profiles:`, `env:` and parameter files: which value wins.
#include <gmock/gmock.h>

#include <fstream>

#include "testing/scratch.h"
#include "unit/config/loading.h"

namespace genflow {
namespace {

using nlohmann::json;

constexpr char kText[] = R"(params: { epochs: 3, name: full, scale: 2 }
env: { MODE: top, LEVEL: top, ONLY: top, TOKEN: "${{ secrets.TOKEN }}" }
defaults: { retries: 1, timeout: 1h, env: { LEVEL: defaults }, resources: { cpus: 2, memory: 1G } }
profiles:
  ci:
    params: { epochs: 1, name: "small-${{ params.epochs }}" }
    env: { MODE: ci }
    defaults: { retries: 0, resources: { memory: 2G } }
    stages:
      a: { timeout: 5m, env: { LEVEL: "ci-${{ params.epochs }}" }, resources: { gpus: 1 } }
  night: { params: { epochs: 9 } }
stages:
  a:
    uses: exec
    with: { run: "${{ params.epochs }} ${{ params.name }} ${{ params.scale }}" }
    env: { LEVEL: stage }
    timeout: 2h
  b: { uses: exec, with: { run: x } }
)";

Pipeline With(std::vector<std::string> profiles, LoadOptions options = Options()) {
  options.profiles = std::move(profiles);
  return Load(kText, options);
}

TEST(Profiles, WithoutThemThePipelineIsAsItStands) {
  const Pipeline pipeline = With({});
  const StageSpec& a = *pipeline.Find("a");
  EXPECT_EQ(a.exec->run, "3 full 2");
  EXPECT_EQ(a.env.at("MODE"), "top");
  EXPECT_EQ(a.env.at("LEVEL"), "stage");
  EXPECT_EQ(pipeline.Find("b")->env.at("LEVEL"), "defaults");
  EXPECT_EQ(pipeline.Find("b")->env.at("ONLY"), "top");
  EXPECT_EQ(pipeline.Find("b")->secrets, std::vector<std::string>{"TOKEN"});
  EXPECT_EQ(a.retries, 1);
  EXPECT_EQ(a.timeout, 7200);
}

TEST(Profiles, OverrideParametersDefaultsEnvironmentAndResources) {
  const Pipeline pipeline = With({"ci"});
  const StageSpec &a = *pipeline.Find("a"), &b = *pipeline.Find("b");
  EXPECT_EQ(a.exec->run, "1 small-1 2");
  EXPECT_EQ(pipeline.params, json({{"epochs", 1}, {"name", "small-1"}, {"scale", 2}}));
  EXPECT_EQ(a.env.at("MODE"), "ci");
  EXPECT_EQ(a.env.at("LEVEL"), "ci-1");
  EXPECT_EQ(a.timeout, 300);
  EXPECT_EQ(a.resources.gpus, (IntRange{1, 1}));
  EXPECT_EQ(a.resources.cpus, (IntRange{2, 2}));
  EXPECT_EQ(a.resources.memory, 2ull << 30);
  EXPECT_EQ(b.retries, 0);
  EXPECT_EQ(b.timeout, 3600);
  EXPECT_EQ(b.env.at("LEVEL"), "defaults");
}

TEST(Profiles, TheLastOneWins) {
  EXPECT_EQ(With({"ci", "night"}).params["epochs"], 9);
  EXPECT_EQ(With({"night", "ci"}).params["epochs"], 1);
  EXPECT_EQ(With({"ci", "night"}).Find("a")->timeout, 300);
}

TEST(Profiles, FilesWinOverProfilesAndOptionsOverFiles) {
  const ScratchFolder scratch;
  const std::string first = scratch / "first.yaml", second = scratch / "second.json";
  std::ofstream(first) << "epochs: 5\nname: 7\n";
  std::ofstream(second) << R"({"epochs": 6})";
  LoadOptions options = Options();
  options.param_files = {LoadParamsFile(first), LoadParamsFile(second)};
  EXPECT_EQ(With({"ci"}, options).params, json({{"epochs", 6}, {"name", "7"}, {"scale", 2}}));
  options.overrides = {{"epochs", "8"}};
  EXPECT_EQ(With({"ci"}, options).params["epochs"], 8);
}

}  // namespace
}  // namespace genflow
