#include "nn/sampling.h"

#include <cmath>
#include <limits>

#include "fixtures.h"

namespace genflow::nn {
namespace {

SamplingOptions ReadOptions(const nlohmann::json& json) {
  SamplingOptions options;
  options.temperature = json.value("temperature", 0.0);
  options.top_k = json.value("top_k", int64_t{0});
  options.top_p = json.value("top_p", 1.0);
  options.repetition_penalty = json.value("repetition_penalty", 1.0);
  return options;
}

TEST(ProcessLogits, EqualsTransformers) {
  const auto cases = ReadJson(FixturePath("sampling.json"));
  ASSERT_EQ(cases.size(), 21u);
  for (const auto& item : cases) {
    auto logits = item["logits"].get<std::vector<float>>();
    ProcessLogits(logits, item["seen"].get<std::vector<int32_t>>(), ReadOptions(item["options"]));
    for (size_t i = 0; i < logits.size(); ++i) {
      const auto& expected = item["processed"][i];
      if (expected.is_null()) {
        EXPECT_EQ(logits[i], -std::numeric_limits<float>::infinity()) << item["options"] << " token " << i;
      } else {
        EXPECT_NEAR(logits[i], expected.get<double>(), 1e-6) << item["options"] << " token " << i;
      }
    }
  }
}

TEST(Draw, FollowsTheDistribution) {
  const std::vector<float> logits = {std::log(0.5f), -std::numeric_limits<float>::infinity(), std::log(0.2f),
                                     std::log(0.3f)};
  auto generator = SequenceGenerator(1, 0);
  std::vector<int> counts(4);
  const int draws = 20000;
  for (int i = 0; i < draws; ++i) ++counts[Draw(logits, generator)];
  EXPECT_EQ(counts[1], 0);
  // Five standard deviations of a share of 0.5 are 0.018.
  EXPECT_NEAR(static_cast<double>(counts[0]) / draws, 0.5, 0.018);
  EXPECT_NEAR(static_cast<double>(counts[2]) / draws, 0.2, 0.018);
  EXPECT_NEAR(static_cast<double>(counts[3]) / draws, 0.3, 0.018);
}

TEST(SequenceGenerator, DependsOnSeedAndIndex) {
  EXPECT_EQ(SequenceGenerator(1, 2)(), SequenceGenerator(1, 2)());
  EXPECT_NE(SequenceGenerator(1, 2)(), SequenceGenerator(1, 3)());
  EXPECT_NE(SequenceGenerator(1, 2)(), SequenceGenerator(uint64_t{1} << 40 | 1, 2)());
}

TEST(ArgMax, FirstOfEquals) {
  const std::vector<float> logits = {1, 3, 3, -2};
  EXPECT_EQ(ArgMax(logits), 1);
}

TEST(ValidateSampling, NamesTheOption) {
  const auto message = [](auto change) {
    SamplingOptions options;
    change(options);
    const Status status = ValidateSampling(options);
    return status.ok() ? std::string("ok") : status.error().ToString();
  };
  EXPECT_EQ(message([](auto&) {}), "ok");
  EXPECT_EQ(message([](auto& o) { o.temperature = -1; }), "temperature is -1, expected 0 (greedy) or more");
  EXPECT_EQ(message([](auto& o) { o.temperature = NAN; }), "temperature is nan, expected 0 (greedy) or more");
  EXPECT_EQ(message([](auto& o) { o.top_k = -3; }), "top_k is -3, expected 0 (off) or more");
  EXPECT_EQ(message([](auto& o) { o.top_p = 0; }), "top_p is 0, expected more than 0 and at most 1 (off)");
  EXPECT_EQ(message([](auto& o) { o.top_p = 1.5; }),
            "top_p is 1.5, expected more than 0 and at most 1 (off)");
  EXPECT_EQ(message([](auto& o) { o.repetition_penalty = 0; }),
            "repetition_penalty is 0, expected more than 0 (1 is off)");
}

}  // namespace
}  // namespace genflow::nn
