#include "nn/model.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include "fixtures.h"

namespace genflow::nn {
namespace {

class TinyModel : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Fixtures, TinyModel, testing::ValuesIn(kTinyModels),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(TinyModel, LogitsEqualTransformers) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  ASSERT_EQ(references.size(), 4u);
  for (const Reference& reference : references) {
    const at::Tensor hidden = model->Hidden(OneRow(reference.ids));
    ASSERT_EQ(hidden.sizes(), (std::vector<int64_t>{1, static_cast<int64_t>(reference.ids.size()),
                                                    model->config().hidden_size}));
    EXPECT_LT(MaxDifference(model->Logits(hidden)[0], reference.logits), 1e-4);
  }
}

TEST_P(TinyModel, PackedSequencesDoNotSeeEachOther) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  // Equal neighbours form one attention group, different ones several.
  std::vector<std::vector<int32_t>> sequences;
  std::vector<at::Tensor> expected;
  for (const size_t i : {1, 1, 3, 0, 0, 2}) {
    sequences.push_back(references[i].ids);
    expected.push_back(references[i].logits);
  }
  const at::Tensor logits = model->Logits(model->Hidden(PackSequences(sequences, at::kCPU)))[0];
  EXPECT_LT(MaxDifference(logits, at::cat(expected)), 1e-4);
}

TEST_P(TinyModel, PackingMayCrossRows) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  // 23 + 7 tokens as 3 rows of 10.
  Batch batch = PackSequences(std::vector{references[2].ids, references[1].ids}, at::kCPU);
  batch.input_ids = batch.input_ids.view({3, 10});
  const at::Tensor hidden = model->Hidden(batch);
  ASSERT_EQ(hidden.size(0), 3);
  const at::Tensor logits = model->Logits(hidden).flatten(0, 1);
  EXPECT_LT(MaxDifference(logits, at::cat({references[2].logits, references[1].logits})), 1e-4);
}

TEST_P(TinyModel, PadsOnTheRightChangeNothing) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  const int64_t longest = 64;
  at::Tensor ids = at::zeros({4, longest}, at::kLong);
  for (int64_t row = 0; row < 4; ++row) {
    const auto& sequence = references[row].ids;
    ids[row]
        .narrow(0, 0, static_cast<int64_t>(sequence.size()))
        .copy_(at::tensor(std::vector<int64_t>(sequence.begin(), sequence.end()), at::kLong));
  }
  Batch batch;
  batch.input_ids = ids;
  const at::Tensor logits = model->Logits(model->Hidden(batch));
  for (int64_t row = 0; row < 4; ++row) {
    const auto length = static_cast<int64_t>(references[row].ids.size());
    EXPECT_LT(MaxDifference(logits[row].narrow(0, 0, length), references[row].logits), 1e-4);
  }
}

TEST_P(TinyModel, PositionsMayBeGiven) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto reference = ReadReferences(GetParam())[2];
  Batch batch = OneRow(reference.ids);
  batch.position_ids = at::arange(batch.input_ids.size(1), at::kLong).unsqueeze(0);
  EXPECT_LT(MaxDifference(model->Logits(model->Hidden(batch))[0], reference.logits), 1e-4);
  // Rotary attention knows distances alone: a common offset changes nothing, a stretch does.
  batch.position_ids = batch.position_ids + 11;
  EXPECT_LT(MaxDifference(model->Logits(model->Hidden(batch))[0], reference.logits), 1e-3);
  batch.position_ids = batch.position_ids * 2;
  EXPECT_GT(MaxDifference(model->Logits(model->Hidden(batch))[0], reference.logits), 1e-2);
}

TEST_P(TinyModel, CacheInPiecesEqualsOnePass) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  const c10::InferenceMode inference;
  KvCache cache = model->MakeCache();
  cache.AddRows(2);
  // Rows of different lengths: a prefill, a longer continuation, then single tokens for both at once.
  const std::vector<int32_t>& a = references[3].ids;
  const std::vector<int32_t>& b = references[2].ids;
  std::vector<at::Tensor> rows_a, rows_b;
  const auto feed = [&](size_t a_begin, size_t a_count, size_t b_begin, size_t b_count) {
    const std::vector<std::vector<int32_t>> pieces = {{a.begin() + a_begin, a.begin() + a_begin + a_count},
                                                      {b.begin() + b_begin, b.begin() + b_begin + b_count}};
    const at::Tensor logits = model->Logits(model->Hidden(PackSequences(pieces, at::kCPU), &cache))[0];
    rows_a.push_back(logits.narrow(0, 0, static_cast<int64_t>(a_count)));
    rows_b.push_back(logits.narrow(0, static_cast<int64_t>(a_count), static_cast<int64_t>(b_count)));
  };
  feed(0, 30, 0, 5);
  feed(30, 20, 5, 3);
  for (size_t i = 0; i < 14; ++i) feed(50 + i, 1, 8 + i, 1);
  EXPECT_EQ(cache.length(0), 64);
  EXPECT_EQ(cache.length(1), 22);
  EXPECT_LT(MaxDifference(at::cat(rows_a), references[3].logits), 1e-4);
  EXPECT_LT(MaxDifference(at::cat(rows_b), references[2].logits.narrow(0, 0, 22)), 1e-4);
}

TEST_P(TinyModel, SomeTokensAreAsAmongAll) {
  const auto model = LoadTiny(GetParam());
  ASSERT_NE(model, nullptr);
  const auto references = ReadReferences(GetParam());
  const c10::InferenceMode inference;
  const std::vector<std::vector<int32_t>> sequences = {references[2].ids, references[3].ids};
  const Batch batch = PackSequences(sequences, at::kCPU);
  const std::vector<int64_t> wanted = {0, static_cast<int64_t>(sequences[0].size()) - 1, 30};
  const at::Tensor all = model->Hidden(batch)[0].index_select(0, at::tensor(wanted, at::kLong));
  EXPECT_LT(MaxDifference(model->HiddenOf(wanted, batch), all), 1e-5 * all.abs().max().item<double>());
  KvCache cache = model->MakeCache();
  cache.AddRows(2);
  EXPECT_LT(MaxDifference(model->HiddenOf(wanted, batch, &cache), all),
            1e-5 * all.abs().max().item<double>());
  EXPECT_EQ(cache.length(1), static_cast<int64_t>(sequences[1].size()));
}

TEST_P(TinyModel, Bf16IsNear) {
  const auto model = LoadTiny(GetParam(), at::kBFloat16);
  ASSERT_NE(model, nullptr);
  const auto reference = ReadReferences(GetParam())[2];
  const at::Tensor logits = model->Logits(model->Hidden(OneRow(reference.ids)))[0];
  EXPECT_EQ(logits.scalar_type(), at::kBFloat16);
  // Eight bits of mantissa through several layers.
  const double scale = reference.logits.abs().max().item<double>();
  EXPECT_LT(MaxDifference(logits, reference.logits), 0.06 * scale);
}

TEST(Model, NamesAreThoseOfHuggingFace) {
  const auto model = LoadTiny("tiny_linear_bias");
  ASSERT_NE(model, nullptr);
  std::vector<std::string> linears;
  model->ForEachLinear([&](const std::string& name, Linear&) { linears.push_back(name); });
  ASSERT_EQ(linears.size(), 21u);
  EXPECT_EQ(linears[0], "model.layers.0.self_attn.q_proj");
  EXPECT_EQ(linears[3], "model.layers.0.self_attn.o_proj");
  EXPECT_EQ(linears[20], "model.layers.2.mlp.down_proj");
  const auto source = formats::ModelSource::Open(FixturePath("tiny_linear_bias"));
  ASSERT_TRUE(source.ok());
  const auto weights = model->NamedWeights();
  EXPECT_EQ(weights.size(), source->tensors().size());
  for (const auto& [name, tensor] : weights) EXPECT_NE(source->Find(name), nullptr) << name;
  EXPECT_EQ(model->NumParameters(), static_cast<int64_t>(source->parameter_count()));
}

TEST(Model, TiedHeadIsTheEmbedding) {
  const auto tied = LoadTiny("tiny_gqa_tied");
  const auto untied = LoadTiny("tiny_llama3_untied");
  ASSERT_TRUE(tied != nullptr && untied != nullptr);
  EXPECT_TRUE(tied->head_weight().is_same(tied->embed_tokens));
  EXPECT_FALSE(untied->head_weight().is_same(untied->embed_tokens));
}

TEST(Model, GradientsReachLoraAlone) {
  const auto model = LoadTiny("tiny_gqa_tied");
  ASSERT_NE(model, nullptr);
  at::manual_seed(1);
  model->ForEachLinear([](const std::string&, Linear& linear) {
    LoraSlot slot;
    slot.a = at::randn({4, linear.in_features()}).mul_(0.1).set_requires_grad(true);
    slot.b = at::randn({linear.out_features(), 4}).mul_(0.1).set_requires_grad(true);
    slot.scaling = 2.0;
    linear.lora = slot;
  });
  const auto references = ReadReferences("tiny_gqa_tied");
  const Batch batch = PackSequences(std::vector{references[1].ids, references[2].ids}, at::kCPU);
  const auto loss = [&] { return model->Logits(model->Hidden(batch)).to(at::kDouble).square().mean(); };
  loss().backward();
  for (const auto& [name, weight] : model->NamedWeights()) EXPECT_FALSE(weight->grad().defined()) << name;

  // The gradient along a direction against a central difference.
  model->ForEachLinear([&](const std::string& name, Linear& linear) {
    for (at::Tensor* parameter : {&linear.lora->a, &linear.lora->b}) {
      ASSERT_TRUE(parameter->grad().defined()) << name;
      if (name.find("layers.1") == std::string::npos) continue;
      const at::Tensor direction = at::randn_like(parameter->detach());
      const double slope = (parameter->grad() * direction).sum().item<double>();
      const double step = 1e-3;
      const at::Tensor original = parameter->detach().clone();
      const at::NoGradGuard no_grad;
      parameter->copy_(original + step * direction);
      const double up = loss().item<double>();
      parameter->copy_(original - step * direction);
      const double down = loss().item<double>();
      parameter->copy_(original);
      EXPECT_NEAR((up - down) / (2 * step), slope, 2e-2 * std::abs(slope) + 2e-3) << name;
    }
  });
}

TEST(Model, DropoutActsInTrainingOnly) {
  const auto model = LoadTiny("tiny_gqa_tied");
  ASSERT_NE(model, nullptr);
  Linear& linear = model->layers[0].self_attn.q_proj;
  linear.lora =
      LoraSlot{at::randn({4, linear.in_features()}), at::randn({linear.out_features(), 4}), 1.0, 0.5, false};
  const at::Tensor x = at::ones({3, linear.in_features()});
  EXPECT_TRUE(linear.Forward(x).equal(linear.Forward(x)));
  model->SetTraining(true);
  EXPECT_FALSE(linear.Forward(x).equal(linear.Forward(x)));
  model->SetTraining(false);
  EXPECT_TRUE(linear.Forward(x).equal(linear.Forward(x)));
}

}  // namespace
}  // namespace genflow::nn
