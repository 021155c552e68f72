#include "nn/layers.h"

#include <cmath>

#include "fixtures.h"

namespace genflow::nn {
namespace {

at::Tensor NormDefinition(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor normal = wide / (wide.square().mean({-1}, true) + eps).sqrt();
  return weight.to(at::kDouble) * normal;
}

TEST(RmsNorm, EqualsItsDefinition) {
  at::manual_seed(1);
  const RmsNorm norm{at::randn({33}), 1e-5};
  const at::Tensor x = at::randn({7, 33}) * 3;
  EXPECT_LT(MaxDifference(norm.Forward(x), NormDefinition(x, norm.weight, 1e-5)), 2e-6);
}

TEST(RmsNorm, RoundsToBf16BeforeTheWeight) {
  at::manual_seed(2);
  const RmsNorm norm{at::randn({64}).to(at::kBFloat16), 1e-6};
  const at::Tensor x = at::randn({5, 64}).to(at::kBFloat16);
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor normal = wide * at::rsqrt(wide.square().mean({-1}, true) + 1e-6);
  const at::Tensor expected = norm.weight * normal.to(at::kBFloat16);
  // One unit in the last place is allowed where the sum of squares was added in another order.
  EXPECT_LE(MaxDifference(norm.Forward(x), expected), 0.02);
  EXPECT_GE((norm.Forward(x) == expected).to(at::kFloat).mean().item<double>(), 0.99);
}

TEST(RmsNorm, BackwardEqualsThatOfItsDefinition) {
  at::manual_seed(3);
  const RmsNorm norm{at::randn({40}), 1e-5};
  at::Tensor a = at::randn({6, 40}).set_requires_grad(true);
  at::Tensor b = a.detach().clone().set_requires_grad(true);
  const at::Tensor seed = at::randn({6, 40});
  (norm.Forward(a) * seed).sum().backward();
  (NormDefinition(b, norm.weight, 1e-5) * seed).sum().backward();
  EXPECT_LT(MaxDifference(a.grad(), b.grad()), 5e-6);
}

TEST(RmsNorm, WeightMayBeTrained) {
  at::manual_seed(4);
  const RmsNorm norm{at::randn({16}).set_requires_grad(true), 1e-5};
  const at::Tensor x = at::randn({5, 16});
  norm.Forward(x).sum().backward();
  const at::Tensor expected = NormDefinition(x, at::ones({16}), 1e-5).sum(0);
  EXPECT_LT(MaxDifference(norm.weight.grad(), expected), 5e-6);
}

TEST(Rope, RotatesPairsByPositionTimesFrequency) {
  const int64_t dim = 6;
  const Rope rope(dim, 100.0, RopeScaling{}, at::kCPU);
  const at::Tensor x = at::randn({2, 1, dim}, at::kDouble);
  const at::Tensor y = ApplyRope(x, rope.At(at::tensor(std::vector<int64_t>{0, 5})));
  EXPECT_TRUE(y[0].equal(x[0]));
  for (int64_t i = 0; i < dim / 2; ++i) {
    const double angle = 5 * std::pow(100.0, -2.0 * static_cast<double>(i) / dim);
    const double a = x[1][0][i].item<double>(), b = x[1][0][i + dim / 2].item<double>();
    EXPECT_NEAR(y[1][0][i].item<double>(), a * std::cos(angle) - b * std::sin(angle), 1e-6);
    EXPECT_NEAR(y[1][0][i + dim / 2].item<double>(), b * std::cos(angle) + a * std::sin(angle), 1e-6);
  }
}

TEST(Rope, BackwardTurnsTheGradientBack) {
  at::manual_seed(6);
  const Rope rope(8, 10000.0, RopeScaling{}, at::kCPU);
  const Rope::Angles angles = rope.At(at::tensor(std::vector<int64_t>{3, 1, 40}));
  at::Tensor x = at::randn({3, 2, 8}).set_requires_grad(true);
  const at::Tensor seed = at::randn({3, 2, 8});
  (ApplyRope(x, angles) * seed).sum().backward();
  // A rotation is orthogonal: rotating the gradient forward again gives the seed.
  EXPECT_LT(MaxDifference(ApplyRope(x.grad(), angles), seed), 1e-6);
}

TEST(Rope, LinearScalingStretchesPositions) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLinear;
  scaling.factor = 4.0;
  const Rope scaled(8, 10000.0, scaling, at::kCPU);
  const Rope plain(8, 10000.0, RopeScaling{}, at::kCPU);
  const at::Tensor at_twelve = scaled.At(at::tensor(std::vector<int64_t>{12})).cos;
  EXPECT_LT(MaxDifference(at_twelve, plain.At(at::tensor(std::vector<int64_t>{3})).cos), 1e-6);
}

TEST(Mlp, EqualsItsDefinitionForwardAndBackward) {
  at::manual_seed(7);
  Mlp mlp;
  mlp.gate_proj.weight = at::randn({18, 10});
  mlp.up_proj.weight = at::randn({18, 10});
  mlp.down_proj.weight = at::randn({10, 18});
  at::Tensor a = at::randn({4, 10}).set_requires_grad(true);
  at::Tensor b = a.detach().to(at::kDouble).set_requires_grad(true);
  const at::Tensor gate = at::matmul(b, mlp.gate_proj.weight.t().to(at::kDouble));
  const at::Tensor up = at::matmul(b, mlp.up_proj.weight.t().to(at::kDouble));
  const at::Tensor expected =
      at::matmul(gate * at::sigmoid(gate) * up, mlp.down_proj.weight.t().to(at::kDouble));
  const at::Tensor y = mlp.Forward(a, at::zeros_like(a));
  EXPECT_LT(MaxDifference(y, expected), 1e-4);
  y.sum().backward();
  expected.sum().backward();
  EXPECT_LT(MaxDifference(a.grad(), b.grad()), 5e-4);
}

TEST(Linear, AnyNumberOfRows) {
  at::manual_seed(10);
  const at::Tensor weight = at::randn({9, 7});
  for (const int64_t rows : {1, 2, 15, 16, 17, 40}) {
    const at::Tensor x = at::randn({rows, 7});
    const at::Tensor y = Project(x, weight);
    EXPECT_TRUE(y.is_contiguous());
    EXPECT_LT(MaxDifference(y, at::matmul(x.to(at::kDouble), weight.t().to(at::kDouble))), 1e-5);
  }
}

TEST(Linear, LoraAddsItsScaledProduct) {
  at::manual_seed(8);
  Linear linear;
  linear.weight = at::randn({5, 7});
  linear.bias = at::randn({5});
  const at::Tensor x = at::randn({2, 3, 7});
  const at::Tensor base = linear.Forward(x);
  EXPECT_LT(MaxDifference(base, at::matmul(x, linear.weight.t()) + linear.bias), 1e-5);
  linear.lora = LoraSlot{at::randn({2, 7}), at::randn({5, 2}), 0.5, 0.0, true};
  const at::Tensor update = at::matmul(at::matmul(x, linear.lora->a.t()), linear.lora->b.t());
  EXPECT_LT(MaxDifference(linear.Forward(x), base + 0.5 * update), 1e-5);
}

TEST(Linear, LoraInFp32OnABf16BaseRoundsTheSumOnce) {
  at::manual_seed(9);
  Linear linear;
  linear.weight = at::randn({5, 7}).to(at::kBFloat16);
  linear.lora = LoraSlot{at::randn({2, 7}), at::randn({5, 2}), 0.5, 0.0, false};
  const at::Tensor x = at::randn({3, 7}).to(at::kBFloat16);
  const at::Tensor base = at::linear(x, linear.weight);
  const at::Tensor update = at::linear(at::linear(x.to(at::kFloat), linear.lora->a), linear.lora->b);
  const at::Tensor expected = (base.to(at::kFloat) + 0.5 * update).to(at::kBFloat16);
  EXPECT_EQ(linear.Forward(x).scalar_type(), at::kBFloat16);
  EXPECT_TRUE(linear.Forward(x).equal(expected));
}

}  // namespace
}  // namespace genflow::nn
