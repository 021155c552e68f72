// Two processes with a GPU each, by NCCL. Skips, saying why, where there are not two.
#include <gtest/gtest.h>

#include <cmath>

#include "testing/scratch.h"
#include "unit/train/trainees.h"

namespace genflow {
namespace {

using nlohmann::json;
using testing_support::RunTrainees;

int CountGpus() {
  int count = 0;
  while (std::filesystem::exists("/dev/nvidia" + std::to_string(count))) ++count;
  return count;
}

TEST(CudaRanks, TwoGpusGiveTheTrajectoryOfOneAndRepeatIt) {
  if (CountGpus() < 2) GTEST_SKIP() << "needs two GPUs, and this machine has " << CountGpus();
  const ScratchFolder scratch;
  const auto alone = RunTrainees(scratch.path(), {{"device", "cuda:0"}});
  ASSERT_TRUE(alone[0].status.Succeeded()) << alone[0].status.ToString();
  const auto together = [&] {
    const auto pair = RunTrainees(scratch.path(), {{"processes", 2}},
                                  {{0, {{"device", "cuda:0"}}}, {1, {{"device", "cuda:1"}}}});
    for (const auto& trainee : pair) {
      EXPECT_TRUE(trainee.status.Succeeded()) << trainee.status.ToString();
      if (!trainee.out.is_object()) return json();
    }
    EXPECT_EQ(pair[0].out.at("digest"), pair[1].out.at("digest"));
    return pair[0].out;
  };
  const json first = together();
  ASSERT_TRUE(first.is_object());
  const auto losses = first.at("loss").get<std::vector<double>>();
  const auto expected = alone[0].out.at("loss").get<std::vector<double>>();
  ASSERT_EQ(losses.size(), expected.size());
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-3) << "step " << i;
  EXPECT_EQ(together().at("digest"), first.at("digest"));
}

}  // namespace
}  // namespace genflow
