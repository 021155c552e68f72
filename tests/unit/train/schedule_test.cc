#include "nn/train/schedule.h"

#include <nlohmann/json.hpp>

#include "train_testing.h"

namespace genflow::nn::train {
namespace {

TEST(LrSchedule, EqualsTransformers) {
  const auto text = ReadFile(Fixtures() / "train/schedules.json");
  ASSERT_TRUE(text.ok());
  const auto fixture = nlohmann::json::parse(*text);
  const double learning_rate = fixture["learning_rate"];
  size_t compared = 0;
  for (const auto& c : fixture["cases"]) {
    const auto kind = ScheduleFromName(c["name"].get<std::string>());
    ASSERT_TRUE(kind.has_value()) << c["name"];
    const auto decay = DecayTypeFromName(c.value("decay_type", "cosine"));
    ASSERT_TRUE(decay.has_value());
    const LrSchedule schedule({.kind = *kind,
                               .learning_rate = learning_rate,
                               .warmup_steps = c["warmup"],
                               .total_steps = c["total"],
                               .decay_steps = c.value("num_decay_steps", int64_t{0}),
                               .decay_type = *decay,
                               .min_lr_ratio = c.value("min_lr_ratio", 0.0)});
    for (size_t step = 0; step < c["rates"].size(); ++step) {
      EXPECT_NEAR(schedule.At(static_cast<int64_t>(step)), c["rates"][step].get<double>(), 1e-15)
          << c["name"] << " step " << step;
      ++compared;
    }
  }
  EXPECT_GT(compared, 120u);
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
