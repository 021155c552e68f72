// The nodes that a layer is trained through, against its operations one by one.
#include "nn/adapted_block.h"

#include <cmath>
#include <map>

#include "nn/adapted_group.h"
#include "train_testing.h"

namespace genflow::nn::train {
namespace {

Batch RaggedBatch() {
  at::manual_seed(9);
  Batch batch;
  batch.cu_seqlens = {0, 7, 8, 80};
  batch.input_ids = at::randint(60, {1, 80}, at::kLong);
  return batch;
}

struct Pass {
  at::Tensor hidden;  // [1, N, hidden]
  std::map<std::string, at::Tensor> gradients;
};

// A forward and a backward pass of a tiny model with random updates. `groups`: as it is trained.
Pass Train(const std::string& fixture, const LoraConfig& config, at::ScalarType dtype, bool groups) {
  SetThreads(1);
  const auto source = formats::ModelSource::Open(Fixtures() / "nn" / fixture);
  const auto model = *LoadCausalLM(*source, {.dtype = dtype});
  auto lora = AttachLora(*model, config, /*trainable=*/true);
  EXPECT_TRUE(lora.ok()) << lora.error().ToString();
  at::manual_seed(4);
  lora->flat().normal_(0, 0.1);
  for (DecoderLayer& layer : model->layers) {
    if (!groups) layer.self_attn.qkv_group = nullptr;
  }
  const Batch batch = RaggedBatch();
  EXPECT_EQ(HasAdaptedBlocks(model->layers[0], model->MakeContext(batch)), groups);
  const at::Tensor hidden = model->Hidden(batch);
  at::manual_seed(5);
  (hidden * at::randn(hidden.sizes()).to(dtype)).sum().backward();
  Pass run{hidden.detach(), {}};
  for (const auto& module : lora->modules()) {
    run.gradients[module.name + ".A"] = module.a.grad().clone();
    run.gradients[module.name + ".B"] = module.b.grad().clone();
  }
  return run;
}

LoraConfig Config(TargetModules targets) {
  LoraConfig config;
  config.r = 3;
  config.alpha = 5;
  config.target_modules = std::move(targets);
  return config;
}

class AdaptedBlocks : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

LoraConfig ConfigOf(const std::string& name) {
  if (name == "all") return Config(TargetModules::AllLinear());
  if (name == "attention") return Config({{"q_proj", "v_proj"}, ""});
  if (name == "mlp") return Config({{"up_proj", "down_proj"}, ""});
  return Config({{}, R"(.*\.1\..*)"});  // the last layer alone
}

TEST_P(AdaptedBlocks, EqualTheOperationsOneByOne) {
  const auto& [fixture, targets] = GetParam();
  const Pass blocks = Train(fixture, ConfigOf(targets), at::kFloat, true);
  const Pass single = Train(fixture, ConfigOf(targets), at::kFloat, false);
  EXPECT_LE(RelativeDifference(blocks.hidden, single.hidden), 5e-6);
  ASSERT_FALSE(single.gradients.empty());
  for (const auto& [name, gradient] : single.gradients) {
    EXPECT_GT(gradient.abs().max().item<double>(), 0) << name;
    EXPECT_LE(RelativeDifference(blocks.gradients.at(name), gradient), 1e-5) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Settings, AdaptedBlocks,
    testing::Combine(testing::Values("tiny_gqa_tied", "tiny_llama3_untied", "tiny_linear_bias"),
                     testing::Values("all", "attention", "mlp", "last")),
    [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param); });

TEST(AdaptedBlocks, Bf16StaysNearFp32) {
  if (!AdaptedGroup::Pays(at::zeros({1}, at::kBFloat16)))
    GTEST_SKIP() << "this processor does not multiply bf16";
  const Pass narrow = Train("tiny_gqa_tied", ConfigOf("all"), at::kBFloat16, true);
  const Pass wide = Train("tiny_gqa_tied", ConfigOf("all"), at::kFloat, true);
  EXPECT_LE(RelativeDifference(narrow.hidden, wide.hidden), 0.1);
  for (const auto& [name, gradient] : wide.gradients) {
    EXPECT_LE(RelativeDifference(narrow.gradients.at(name), gradient), 0.12) << name;
  }
}

// Of a group with dropout: what it drew is read off its margin, and everything else follows.
TEST(AdaptedBlocks, DropoutIsTheDefinitionOfWhatWasDrawn) {
  SetThreads(1);
  at::manual_seed(8);
  constexpr int64_t kTokens = 3000, kIn = 24, kRank = 24;
  constexpr double kP = 0.25;
  const c10::NoGradGuard no_grad;
  Linear first, second;
  first.weight = at::randn({10, kIn});
  second.weight = at::randn({6, kIn});
  // A is the identity: the margin is the input as the update sees it.
  const auto slot = [&](Linear& linear) {
    linear.lora = LoraSlot{at::eye(kIn), at::randn({linear.weight.size(0), kRank}), 2.0, kP, true};
    for (at::Tensor* tensor : {&linear.lora->a, &linear.lora->b}) {
      tensor->set_requires_grad(true);
      tensor->mutable_grad() = at::zeros_like(*tensor);
    }
  };
  slot(first);
  slot(second);
  const at::Tensor first_weight = first.weight.clone(), second_weight = second.weight.clone();
  AdaptedGroup group({&first, &second}, at::kFloat, 5);
  const at::Tensor x = at::randn({kTokens, kIn}), dy = at::randn({kTokens, 16});
  const at::Tensor input = group.MakeInput(kTokens);
  input.narrow(1, 0, kIn).copy_(x);
  const at::Tensor y = at::empty({kTokens, 16});
  group.Forward(input, /*seed=*/77, y);
  const at::Tensor margin = group.Margin(input).clone();
  const at::Tensor seen[] = {margin.narrow(1, 0, kRank), margin.narrow(1, kRank, kRank)};
  for (const at::Tensor& values : seen) {
    const double dropped = values.eq(0).to(at::kDouble).mean().item<double>();
    EXPECT_NEAR(dropped, kP, 5 * std::sqrt(kP * (1 - kP) / (kTokens * kIn)));
    EXPECT_LT((at::where(values.eq(0), values, values - x / (1 - kP))).abs().max().item<double>(), 1e-5);
  }
  EXPECT_FALSE(at::equal(seen[0].eq(0), seen[1].eq(0))) << "each update has a dropout of its own";
  const at::Tensor expected =
      at::cat({at::mm(x, first_weight.t()) + 2 * at::mm(seen[0], first.lora->b.t()),
               at::mm(x, second_weight.t()) + 2 * at::mm(seen[1], second.lora->b.t())},
              1);
  EXPECT_LE(RelativeDifference(y, expected), 1e-5);

  const at::Tensor gradient = group.MakeGradient(kTokens);
  gradient.narrow(1, 0, 16).copy_(dy);
  const at::Tensor dx = at::empty_like(x);
  group.Backward(gradient, /*seed=*/77, dx);
  group.AddGradients(gradient, x, margin, /*seed=*/77);
  at::Tensor expected_dx = at::zeros_like(x);
  int64_t row = 0, i = 0;
  for (const Linear* linear : {&first, &second}) {
    const at::Tensor part = dy.narrow(1, row, linear->weight.size(0));
    row += linear->weight.size(0);
    const at::Tensor de = at::mm(part, linear->lora->b) * 2;
    const at::Tensor kept = seen[i].ne(0).to(at::kFloat) / (1 - kP);
    expected_dx += at::mm(part, i == 0 ? first_weight : second_weight) + de * kept;
    EXPECT_LE(RelativeDifference(linear->lora->a.grad(), at::mm(de.t(), seen[i])), 1e-5);
    EXPECT_LE(RelativeDifference(linear->lora->b.grad(), at::mm(part.t(), seen[i]) * 2), 1e-5);
    ++i;
  }
  EXPECT_LE(RelativeDifference(dx, expected_dx), 1e-5);

  // Another seed draws anew, the same seed the same; without training nothing is dropped.
  group.Forward(input, 78, y);
  EXPECT_FALSE(at::equal(group.Margin(input), margin));
  group.Forward(input, 77, y);
  EXPECT_TRUE(at::equal(group.Margin(input), margin));
  first.lora->training = second.lora->training = false;
  group.Forward(input, 77, y);
  EXPECT_LE(RelativeDifference(group.Margin(input), at::cat({x, x}, 1)), 1e-6);
}

TEST(AdaptedBlocks, SeeEveryChangeOfTheUpdates) {
  const auto model = TinyModel();
  auto lora = AttachLora(*model, ConfigOf("all"), /*trainable=*/true);
  ASSERT_TRUE(lora.ok());
  const c10::NoGradGuard no_grad;
  const Batch batch = RaggedBatch();
  ASSERT_TRUE(InitLora(*lora, 1).ok());
  const at::Tensor base = model->Hidden(batch);
  const at::Tensor values = at::full_like(lora->flat(), 0.05);
  lora->flat().copy_(values);  // through the flat buffer, as the optimizer does
  const at::Tensor changed = model->Hidden(batch);
  EXPECT_GT(RelativeDifference(changed, base), 1e-3);
  lora->modules()[0].b.detach().mul_(3);  // through one of the tensors
  EXPECT_GT(RelativeDifference(model->Hidden(batch), changed), 1e-5);
  lora->SetEnabled(false);
  EXPECT_LE(RelativeDifference(model->Hidden(batch), base), 2e-6) << "taken off, the base model computes";
  lora->SetEnabled(true);
  lora->flat().copy_(values);
  EXPECT_TRUE(at::equal(model->Hidden(batch), changed));
  ASSERT_TRUE(MergeLora(*lora).ok());
  EXPECT_FALSE(HasAdaptedBlocks(model->layers[0], model->MakeContext(batch)));
  EXPECT_LE(RelativeDifference(model->Hidden(batch), changed), 1e-5);
}

TEST(AdaptedBlocks, GiveGradientsOfTheInputToo) {
  const auto model = TinyModel();
  auto lora = AttachLora(*model, ConfigOf("all"), /*trainable=*/true);
  ASSERT_TRUE(lora.ok());
  lora->flat().normal_(0, 0.1);
  const AttentionContext context = model->MakeContext(RaggedBatch());
  at::manual_seed(6);
  const at::Tensor x = at::randn({80, model->config().hidden_size});
  const at::Tensor seed = at::randn_like(x);
  std::vector<at::Tensor> gradients;
  for (const bool groups : {true, false}) {
    if (!groups) model->layers[0].self_attn.qkv_group = nullptr;
    const at::Tensor leaf = x.clone().set_requires_grad(true);
    (model->layers[0].Forward(leaf, context, 0) * seed).sum().backward();
    gradients.push_back(leaf.grad());
  }
  EXPECT_LE(RelativeDifference(gradients[0], gradients[1]), 1e-5);
}

}  // namespace
}  // namespace genflow::nn::train
