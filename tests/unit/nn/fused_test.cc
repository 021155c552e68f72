#include "nn/fused.h"

#include "fixtures.h"

namespace genflow::nn {
namespace {

// Each kernel against the same operation on doubles, which ATen computes.
class Fused : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(11); }
  at::Tensor Random(at::IntArrayRef shape, double scale = 1) const {
    return (at::randn(shape) * scale).to(GetParam()).set_requires_grad(true);
  }
  static at::Tensor Wide(const at::Tensor& x) { return x.detach().to(at::kDouble).set_requires_grad(true); }
  // A bf16 value has 8 bits; each rounding step may lose half of the last one.
  double Tolerance(const at::Tensor& reference) const {
    return (GetParam() == at::kFloat ? 2e-6 : 1.2e-2) * reference.abs().max().item<double>();
  }
  void ExpectEqual(const at::Tensor& actual, const at::Tensor& reference) const {
    EXPECT_EQ(actual.scalar_type(), GetParam());
    EXPECT_LT(MaxDifference(actual.detach(), reference.detach()), Tolerance(reference));
  }
};
INSTANTIATE_TEST_SUITE_P(Types, Fused, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) { return std::string(c10::toString(info.param)); });

TEST_P(Fused, RmsNorm) {
  const at::Tensor x = Random({50, 37}, 3), seed = Random({50, 37});
  const at::Tensor weight = Random({37}).detach();
  const at::Tensor wide = Wide(x);
  const at::Tensor y = FusedRmsNorm(x, weight, 1e-5);
  const at::Tensor reference = FusedRmsNorm(wide, weight.to(at::kDouble), 1e-5);
  ExpectEqual(y, reference);
  (y * seed.detach()).sum().backward();
  (reference * seed.detach()).sum().backward();
  ExpectEqual(x.grad(), wide.grad());
}

TEST_P(Fused, SwiGlu) {
  // Large enough that the sigmoid saturates on both sides.
  const at::Tensor gate = Random({33, 70}, 40), up = Random({33, 70}), seed = Random({33, 70});
  const at::Tensor wide_gate = Wide(gate), wide_up = Wide(up);
  const at::Tensor y = FusedSwiGlu(gate, up);
  const at::Tensor reference = FusedSwiGlu(wide_gate, wide_up);
  ExpectEqual(y, reference);
  (y * seed.detach()).sum().backward();
  (reference * seed.detach()).sum().backward();
  ExpectEqual(gate.grad(), wide_gate.grad());
  ExpectEqual(up.grad(), wide_up.grad());
}

TEST_P(Fused, SwiGluOfExtremesIsFinite) {
  const at::Tensor gate = at::tensor(std::vector<float>{-1e30f, -200, -88, 0, 88, 200, 1e30f}).to(GetParam());
  const at::Tensor y = FusedSwiGlu(gate, at::ones_like(gate));
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  EXPECT_NEAR(y[0].item<float>(), 0.0f, 1e-8);
  EXPECT_EQ(y[3].item<float>(), 0.0f);
  EXPECT_EQ(y[6].item<float>(), gate[6].item<float>());
}

TEST_P(Fused, Rope) {
  const at::Tensor x = Random({21, 3, 10}), seed = Random({21, 3, 10});
  const at::Tensor wide = Wide(x);
  const at::Tensor half = at::randn({21, 5});
  const at::Tensor angles = at::cat({half, half}, 1);
  const at::Tensor y = FusedRope(x, angles.cos(), angles.sin());
  const at::Tensor reference = FusedRope(wide, angles.cos(), angles.sin());
  ExpectEqual(y, reference);
  (y * seed.detach()).sum().backward();
  (reference * seed.detach()).sum().backward();
  ExpectEqual(x.grad(), wide.grad());
}

TEST_P(Fused, InputsMayBeStrided) {
  const at::Tensor x = Random({16, 12}).detach().t();
  EXPECT_TRUE(FusedSwiGlu(x, x).equal(FusedSwiGlu(x.contiguous(), x.contiguous())));
  const at::Tensor weight = at::ones({16}, GetParam());
  EXPECT_TRUE(FusedRmsNorm(x, weight, 1e-5).equal(FusedRmsNorm(x.contiguous(), weight, 1e-5)));
}

}  // namespace
}  // namespace genflow::nn
