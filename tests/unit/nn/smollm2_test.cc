// The real model of the quickstart against transformers, see tests/parity/nn_smollm2.py.
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include "fixtures.h"
#include "nn/decode/decoder.h"
#include "nn/decode/packed_weight.h"
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

// Straight from the file's Q4_1 blocks. Where the CPU multiplies 8-bit numbers, the activations are rounded
// to them, as llama.cpp rounds them, and that is the difference.
TEST_F(SmolLm2, DecodingFromTheFilesQuantisationStaysNear) {
  const c10::InferenceMode inference;
  const auto source = formats::ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  LoadOptions options;
  options.quantization = Quantization::kGguf;
  const auto model = LoadCausalLM(*source, options);
  ASSERT_TRUE(model.ok()) << model.error().ToString();
  ASSERT_TRUE(Decoder::Supports(**model));
  Decoder decoder(**model);
  double worst = 0, sum = 0;
  int64_t count = 0;
  for (const auto& item : cases_) {
    const auto ids = item["ids"].get<std::vector<int32_t>>();
    const auto expected = item["logprobs"].get<std::vector<double>>();
    KvCache cache = (*model)->MakeCache();
    cache.AddRows(1);
    for (size_t t = 0; t + 1 < std::min<size_t>(ids.size(), 40); ++t) {
      const at::Tensor logprobs = decoder.Step({{ids[t]}}, 0, cache)[0].log_softmax(0);
      const double difference = std::abs(logprobs[ids[t + 1]].item<double>() - expected[t]);
      worst = std::max(worst, difference);
      sum += difference;
      ++count;
    }
  }
  EXPECT_LT(worst, RoundsActivations() ? 0.5 : 2e-3);
  EXPECT_LT(sum / static_cast<double>(count), RoundsActivations() ? 0.1 : 2e-4);
  RecordProperty("largest_difference", std::to_string(worst));
  RecordProperty("mean_difference", std::to_string(sum / static_cast<double>(count)));
}

}  // namespace
}  // namespace genflow::nn
