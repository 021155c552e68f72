// The same numbers on a GPU. Skips, saying why, where there is none.
#include "fixtures.h"
#include "nn/device.h"
#include "nn/generate.h"
#include "nn/score.h"

namespace genflow::nn {
namespace {

class Cuda : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto device = ResolveDevice("cuda");
    if (!device.ok()) GTEST_SKIP() << device.error().ToString();
    const auto source = formats::ModelSource::Open(FixturePath(GetParam()));
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    LoadOptions options;
    options.device = *device;
    auto model = LoadCausalLM(*source, options);
    ASSERT_TRUE(model.ok()) << model.error().ToString();
    model_ = *model;
  }
  std::shared_ptr<CausalLM> model_;
};
INSTANTIATE_TEST_SUITE_P(Fixtures, Cuda, testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Cuda, PackedLogitsEqualTransformers) {
  const auto references = ReadReferences(GetParam());
  std::vector<std::vector<int32_t>> sequences;
  std::vector<at::Tensor> expected;
  for (const Reference& reference : references) {
    sequences.push_back(reference.ids);
    expected.push_back(reference.logits);
  }
  const at::Tensor logits =
      model_->Logits(model_->Hidden(PackSequences(sequences, model_->device())))[0].cpu();
  EXPECT_LT(MaxDifference(logits, at::cat(expected)), 1e-3);
}

TEST_P(Cuda, GreedyEqualsTransformers) {
  const auto entries = ReadJson(FixturePath(GetParam()) / "expected.json")["generate"];
  std::vector<std::vector<int32_t>> prompts;
  for (const auto& entry : entries) prompts.push_back(entry["prompt"].get<std::vector<int32_t>>());
  GenerateOptions options;
  options.max_new_tokens = 24;
  const auto answers = Generate(*model_, nullptr, prompts, options);
  ASSERT_TRUE(answers.ok()) << answers.error().ToString();
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ((*answers)[i].tokens, entries[i]["greedy"].get<std::vector<int32_t>>());
  }
}

}  // namespace
}  // namespace genflow::nn
