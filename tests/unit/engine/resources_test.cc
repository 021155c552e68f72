// What a stage asks for where the pipeline says nothing, and where it does.
#include "engine/resources.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

struct Case {
  const char* what;
  bool plugin, device;
  std::optional<IntRange> cpus;
  std::vector<int> gpus;
  nlohmann::json with;
  int64_t cpus_min, cpus_max, gpus_max;
};

TEST(DemandOf, Defaults) {
  const Case cases[] = {
      {"exec", false, false, {}, {}, {}, 1, 1, 0},
      {"a plugin's stage takes what is free", true, false, {}, {}, {}, 1, 8, 0},
      {"a model's stage has the CPUs alone", true, true, {}, {}, {}, 8, 8, 1},
      {"on a GPU it leaves them to others", true, true, {}, {0}, {}, 1, 8, 1},
      {"kept from the GPU", true, true, {}, {0}, {{"device", "cpu"}}, 8, 8, 0},
      {"the pipeline's word stands", true, true, IntRange{2, 4}, {}, {}, 2, 4, 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    StageInfo info;
    if (c.device) info.params.push_back({.name = "device"});
    StageSpec stage;
    if (c.plugin) stage.info = &info;
    stage.with = c.with;
    stage.resources.cpus = c.cpus;
    const Demand demand = DemandOf(stage, {.cpus = 8, .gpus = c.gpus});
    EXPECT_EQ(demand.cpus_min, c.cpus_min);
    EXPECT_EQ(demand.cpus_max, c.cpus_max);
    EXPECT_EQ(demand.gpus_max, c.gpus_max);
  }
}

TEST(DemandOf, ANumberedGpuIsThatOne) {
  StageInfo info;
  info.params.push_back({.name = "device"});
  StageSpec stage;
  stage.info = &info;
  for (const auto& [device, gpu] : std::map<std::string, std::optional<size_t>>{
           {"cuda:1", 1}, {"cuda", std::nullopt}, {"auto", std::nullopt}, {"cuda:x", std::nullopt}}) {
    stage.with = {{"device", device}};
    EXPECT_EQ(DemandOf(stage, {.cpus = 8, .gpus = {0, 1}}).gpu, gpu) << device;
  }
}

}  // namespace
}  // namespace genflow
