// The real model of the quickstart against transformers, see tests/parity/nn_smollm2.py.
#include <ATen/core/grad_mode.h>

#include "fixtures.h"
#include "nn/generate.h"
#include "nn/score.h"

namespace genflow::nn {
namespace {

class SmolLm2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = LoadFixture(GENFLOW_SMOLLM2_GGUF);
    cases_ = ReadJson(FixturePath("smollm2.json"));
  }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override {
    ASSERT_NE(model_, nullptr);
    ASSERT_EQ(cases_.size(), 5u);
  }

  static std::shared_ptr<CausalLM> model_;
  static nlohmann::json cases_;
};
std::shared_ptr<CausalLM> SmolLm2::model_;
nlohmann::json SmolLm2::cases_;

TEST_F(SmolLm2, LogitsEqualTransformers) {
  const at::NoGradGuard no_grad;
  double worst = 0;
  for (const auto& item : cases_) {
    const auto ids = item["ids"].get<std::vector<int32_t>>();
    const at::Tensor hidden = model_->Hidden(OneRow(ids))[0];
    for (const auto& probe : item["probes"]) {
      const at::Tensor logits = model_->Logits(hidden[probe["position"].get<int64_t>()]);
      for (size_t i = 0; i < probe["tokens"].size(); ++i) {
        const double logit = logits[probe["tokens"][i].get<int64_t>()].item<double>();
        worst = std::max(worst, std::abs(logit - probe["logits"][i].get<double>()));
      }
    }
  }
  EXPECT_LT(worst, 2e-3);
  RecordProperty("largest_difference", std::to_string(worst));
}

TEST_F(SmolLm2, TokenLogProbabilitiesEqualTransformers) {
  std::vector<ScoreItem> items;
  for (const auto& item : cases_) {
    const auto ids = item["ids"].get<std::vector<int32_t>>();
    items.push_back(ScoreItem::Span(ids, 0, static_cast<int64_t>(ids.size())));
  }
  const auto scores = ScoreItems(*model_, items);
  ASSERT_TRUE(scores.ok()) << scores.error().ToString();
  for (size_t i = 0; i < items.size(); ++i) {
    const auto expected = cases_[i]["logprobs"].get<std::vector<double>>();
    ASSERT_EQ((*scores)[i].token_logprobs.size(), expected.size());
    for (size_t t = 0; t < expected.size(); ++t)
      EXPECT_NEAR((*scores)[i].token_logprobs[t], expected[t], 2e-3);
  }
}

TEST_F(SmolLm2, GreedyAnswersEqualTransformersUntilANearTie) {
  std::vector<std::vector<int32_t>> prompts;
  for (const auto& item : cases_) prompts.push_back(item["ids"].get<std::vector<int32_t>>());
  GenerateOptions options;
  options.max_new_tokens = 24;
  options.stop_tokens.emplace();  // none
  const auto answers = Generate(*model_, nullptr, prompts, options);
  ASSERT_TRUE(answers.ok()) << answers.error().ToString();
  size_t compared = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto expected = cases_[i]["answer"].get<std::vector<int32_t>>();
    ASSERT_EQ((*answers)[i].tokens.size(), expected.size());
    for (size_t t = 0; t < expected.size(); ++t, ++compared) {
      if (cases_[i]["margins"][t].get<double>() <= 0.1 && (*answers)[i].tokens[t] != expected[t]) break;
      EXPECT_EQ((*answers)[i].tokens[t], expected[t]) << "prompt " << i << ", token " << t;
    }
  }
  EXPECT_GE(compared, 60u);
}

}  // namespace
}  // namespace genflow::nn
