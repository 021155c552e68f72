#include "nn/train/optimizer.h"

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
  const auto optimizer = Optimizer::Make({.weight_decay = c.weight_decay}, weight, {{0, 1, weight.numel()}});
  for (int64_t step = 0; step < gradients.size(0); ++step) {
    const at::Tensor gradient = gradients[step].clone();
    const double norm = ClipGradNorm(gradient, c.max_norm);
    if (c.max_norm > 0) {
      EXPECT_NEAR(norm, fixture.Get(std::string(c.name) + "/norms")[step].item<double>(), 1e-6 * norm);
    }
    optimizer->Step(gradient, 3e-3);
    EXPECT_LE((weight - expected[step]).abs().max().item<double>(), 1e-6) << "step " << step;
  }
  EXPECT_EQ(optimizer->steps(), gradients.size(0));
}

INSTANTIATE_TEST_SUITE_P(Cases, AdamWParity,
                         testing::Values(OptimizerCase{"plain", 0, 0}, OptimizerCase{"decay", 0.1, 0},
                                         OptimizerCase{"clipped", 0.01, 0.7}),
                         [](const auto& info) { return info.param.name; });

// Two tensors in one buffer, trained by each.
struct Named {
  const char* name;
  OptimizerKind kind;
  double second_scale;
};

class OptimizerParity : public testing::TestWithParam<Named> {
 protected:
  OptimizerParity() : fixture_(Fixtures() / "train/optimizers.safetensors") {}
  static at::Tensor Flat(const at::Tensor& a, const at::Tensor& b) {
    return at::cat({a.flatten(), b.flatten()});
  }
  at::Tensor Start() const { return Flat(fixture_.Get("start.0"), fixture_.Get("start.1")); }
  at::Tensor Gradient(int64_t step) const {
    return Flat(fixture_.Get("gradient.0")[step], fixture_.Get("gradient.1")[step]);
  }
  static std::unique_ptr<Optimizer> Make(const at::Tensor& weights) {
    return Optimizer::Make({.kind = GetParam().kind, .weight_decay = 0.1}, weights,
                           {{0, 40, 128, 1}, {40 * 128, 9, 16, GetParam().second_scale}});
  }
  Tensors fixture_;
};

TEST_P(OptimizerParity, EqualsItsCounterpartStepByStep) {
  const at::Tensor weights = Start();
  const auto optimizer = Make(weights);
  for (int64_t step = 0; step < 12; ++step) {
    optimizer->Step(Gradient(step), 3e-3);
    if (step != 0 && step != 4 && step != 11) continue;
    const std::string tail = "." + std::to_string(step);
    const std::string name = GetParam().name;
    const at::Tensor expected = Flat(fixture_.Get(name + "/0" + tail), fixture_.Get(name + "/1" + tail));
    EXPECT_LE((weights - expected).abs().max().item<double>(), 2e-6) << "step " << step;
  }
}

TEST_P(OptimizerParity, RestoredContinuesToTheSameBytes) {
  const at::Tensor whole = Start();
  const auto optimizer = Make(whole);
  for (int64_t step = 0; step < 5; ++step) optimizer->Step(Gradient(step), 3e-3);
  const at::Tensor rest = whole.clone();
  const auto resumed = Make(rest);
  const auto from = optimizer->State(), to = resumed->State();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].first, to[i].first);
    to[i].second.copy_(from[i].second);
  }
  resumed->set_steps(optimizer->steps());
  for (int64_t step = 5; step < 12; ++step) {
    optimizer->Step(Gradient(step), 3e-3);
    resumed->Step(Gradient(step), 3e-3);
  }
  EXPECT_TRUE(at::equal(whole, rest));
}

INSTANTIATE_TEST_SUITE_P(Kinds, OptimizerParity,
                         testing::Values(Named{"adamw_8bit", OptimizerKind::kAdamW8bit, 1},
                                         Named{"adafactor", OptimizerKind::kAdafactor, 1},
                                         Named{"loraplus", OptimizerKind::kAdamW, 4}),
                         [](const auto& info) { return info.param.name; });

TEST(Optimizer, EightBitsTakeAQuarterOfTheMemory) {
  const auto bytes = [](OptimizerKind kind) {
    const auto optimizer = Optimizer::Make({.kind = kind}, at::zeros({1 << 16}), {{0, 256, 256}});
    size_t sum = 0;
    for (const auto& [name, tensor] : optimizer->State()) sum += tensor.nbytes();
    return sum;
  };
  EXPECT_LT(bytes(OptimizerKind::kAdamW8bit), bytes(OptimizerKind::kAdamW) * 0.26);
  EXPECT_LT(bytes(OptimizerKind::kAdafactor), bytes(OptimizerKind::kAdamW) * 0.01);
}

// As transformers' Trainer groups a whole model's parameters.
TEST(Optimizer, NormsDoNotDecayAndEmbeddingsKeepTheirMoments) {
  for (const OptimizerKind kind :
       {OptimizerKind::kAdamW, OptimizerKind::kAdamW8bit, OptimizerKind::kAdafactor}) {
    const at::Tensor weights = at::ones({2 * 8192 + 64});
    const auto optimizer =
        Optimizer::Make({.kind = kind, .weight_decay = 0.5}, weights,
                        {{.offset = 0, .rows = 64, .columns = 128, .is_embedding = true},
                         {.offset = 8192, .rows = 1, .columns = 64, .is_vector = true, .decays = false},
                         {.offset = 8192 + 64, .rows = 64, .columns = 128}});
    optimizer->Step(at::zeros({2 * 8192 + 64}), 1e-1);
    EXPECT_TRUE(at::allclose(weights.narrow(0, 0, 8192), at::full({8192}, 0.95)));
    EXPECT_TRUE(at::equal(weights.narrow(0, 8192, 64), at::ones({64})));
    EXPECT_TRUE(at::allclose(weights.narrow(0, 8192 + 64, 8192), at::full({8192}, 0.95)));
    if (kind != OptimizerKind::kAdamW8bit) continue;
    std::vector<std::string> names;
    for (const auto& [name, tensor] : optimizer->State()) names.push_back(name);
    EXPECT_EQ(names, (std::vector<std::string>{"exp_avg.0", "exp_avg_sq.0", "exp_avg.1", "exp_avg_sq.1",
                                               "exp_avg_codes.2", "exp_avg_scales.2", "exp_avg_sq_codes.2",
                                               "exp_avg_sq_scales.2"}));
  }
}

TEST(Optimizer, NamesAreTransformers) {
  EXPECT_EQ(OptimizerFromName("adafactor"), OptimizerKind::kAdafactor);
  EXPECT_FALSE(OptimizerFromName("sgd").has_value());
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

}  // namespace
}  // namespace genflow::nn::train
