#include "nn/train/optim.h"

#include <nlohmann/json.hpp>

#include "train_testing.h"

namespace genflow::nn::train {
namespace {

struct OptimizerCase {
  const char* name;
  double weight_decay, max_norm;
};

class AdamWParity : public testing::TestWithParam<OptimizerCase> {};

TEST_P(AdamWParity, EqualsTorchStepByStep) {
  const OptimizerCase& c = GetParam();
  const Tensors fixture(Fixtures() / "train/optimizer.safetensors");
  const at::Tensor weight = fixture.Get("start").clone();
  const at::Tensor gradients = fixture.Get("gradient");
  const at::Tensor expected = fixture.Get(std::string(c.name) + "/steps");
  AdamW optimizer(weight, {.weight_decay = c.weight_decay});
  for (int64_t step = 0; step < gradients.size(0); ++step) {
    const at::Tensor gradient = gradients[step].clone();
    const double norm = ClipGradNorm(gradient, c.max_norm);
    if (c.max_norm > 0) {
      EXPECT_NEAR(norm, fixture.Get(std::string(c.name) + "/norms")[step].item<double>(), 1e-6 * norm);
    }
    optimizer.Step(gradient, 3e-3);
    EXPECT_LE((weight - expected[step]).abs().max().item<double>(), 1e-6) << "step " << step;
  }
  EXPECT_EQ(optimizer.steps(), gradients.size(0));
}

INSTANTIATE_TEST_SUITE_P(Cases, AdamWParity,
                         testing::Values(OptimizerCase{"plain", 0, 0}, OptimizerCase{"decay", 0.1, 0},
                                         OptimizerCase{"clipped", 0.01, 0.7}),
                         [](const auto& info) { return info.param.name; });

TEST(AdamW, RestoredContinuesToTheSameBytes) {
  const Tensors fixture(Fixtures() / "train/optimizer.safetensors");
  const at::Tensor gradients = fixture.Get("gradient");
  const at::Tensor whole = fixture.Get("start").clone();
  AdamW optimizer(whole, {.weight_decay = 0.1});
  for (int64_t step = 0; step < 5; ++step) optimizer.Step(gradients[step], 3e-3);
  const at::Tensor rest = whole.clone();
  AdamW resumed(rest, {.weight_decay = 0.1});
  resumed.Restore(optimizer.steps(), optimizer.exp_avg(), optimizer.exp_avg_sq());
  for (int64_t step = 5; step < 12; ++step) {
    optimizer.Step(gradients[step], 3e-3);
    resumed.Step(gradients[step], 3e-3);
  }
  EXPECT_TRUE(at::equal(whole, rest));
}

TEST(ClipGradNorm, LeavesShortGradientsAlone) {
  const at::Tensor gradient = at::tensor({3.0f, 4.0f});
  EXPECT_DOUBLE_EQ(ClipGradNorm(gradient, 100), 5);
  EXPECT_TRUE(at::equal(gradient, at::tensor({3.0f, 4.0f})));
  EXPECT_DOUBLE_EQ(ClipGradNorm(gradient, 0), 5);
  EXPECT_TRUE(at::equal(gradient, at::tensor({3.0f, 4.0f})));
  EXPECT_DOUBLE_EQ(ClipGradNorm(gradient, 1), 5);
  EXPECT_NEAR(at::linalg_vector_norm(gradient, 2).item<double>(), 1, 1e-6);
}

TEST(LrSchedule, EqualsTransformers) {
  const auto text = ReadFile(Fixtures() / "train/schedules.json");
  ASSERT_TRUE(text.ok());
  const auto fixture = nlohmann::json::parse(*text);
  const double learning_rate = fixture["learning_rate"];
  size_t compared = 0;
  for (const auto& c : fixture["cases"]) {
    const auto kind = ScheduleFromName(c["name"].get<std::string>());
    ASSERT_TRUE(kind.has_value()) << c["name"];
    const LrSchedule schedule(*kind, learning_rate, c["warmup"], c["total"]);
    for (size_t step = 0; step < c["rates"].size(); ++step) {
      EXPECT_NEAR(schedule.At(static_cast<int64_t>(step)), c["rates"][step].get<double>(), 1e-15)
          << c["name"] << " step " << step;
      ++compared;
    }
  }
  EXPECT_GT(compared, 80u);
}

TEST(LrSchedule, WarmupIsStepsOrARoundedUpShare) {
  EXPECT_EQ(WarmupSteps(7, 0.5, 100), 7);
  EXPECT_EQ(WarmupSteps(0, 0.03, 100), 3);
  EXPECT_EQ(WarmupSteps(0, 0.03, 101), 4);
  EXPECT_EQ(WarmupSteps(0, 0, 100), 0);
  EXPECT_FALSE(ScheduleFromName("polynomial").has_value());
}

}  // namespace
}  // namespace genflow::nn::train
