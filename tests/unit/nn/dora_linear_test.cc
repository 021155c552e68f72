#include "nn/dora_linear.h"

#include <ATen/ATen.h>

#include <vector>

#include "fixtures.h"

namespace genflow::nn {
namespace {

LoraSlot Slot() {
  LoraSlot lora;
  lora.a = at::randn({3, 10}).set_requires_grad(true);
  lora.b = at::randn({6, 3}).set_requires_grad(true);
  lora.magnitude = at::rand({6}).add_(0.5).set_requires_grad(true);
  lora.scaling = 1.5;
  lora.dora_norm = std::make_shared<DoraNorm>();
  return lora;
}

// The definition, operation by operation.
at::Tensor Defined(const at::Tensor& x, const at::Tensor& dropped, const at::Tensor& weight,
                   const at::Tensor& bias, const LoraSlot& lora) {
  const at::Tensor sum = weight + lora.scaling * at::mm(lora.b, lora.a);
  const at::Tensor factor = lora.magnitude / at::linalg_vector_norm(sum, 2, {1}).detach();
  const auto update = [&](const at::Tensor& input) {
    const at::Tensor low = at::mm(at::mm(input, lora.a.t()), lora.b.t());
    return factor * (at::mm(input, weight.t()) + lora.scaling * low);
  };
  if (!dropped.defined()) return update(x) + bias;
  return at::mm(x, weight.t()) + bias + update(dropped) - at::mm(dropped, weight.t());
}

TEST(DoraLinear, EqualsItsDefinitionWithAndWithoutDropout) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn({6, 10}), bias = at::randn({6}), seed = at::randn({7, 6});
  for (const bool drops : {false, true}) {
    const LoraSlot lora = Slot();
    const at::Tensor x = at::randn({7, 10}), left = at::randn({7, 10}).gt(0).to(at::kFloat) * 2;
    std::vector<at::Tensor> results, gradients[2];
    for (const int i : {0, 1}) {
      const at::Tensor leaf = x.clone().set_requires_grad(true);
      const at::Tensor dropped = drops ? leaf * left : at::Tensor();
      results.push_back(i == 0 ? DoraLinear(leaf, dropped, weight, bias, lora)
                               : Defined(leaf, dropped, weight, bias, lora));
      (results.back() * seed).sum().backward();
      for (const at::Tensor& tensor : {leaf, lora.a, lora.b, lora.magnitude}) {
        gradients[i].push_back(tensor.grad().clone());
        tensor.mutable_grad().reset();
      }
    }
    EXPECT_LT(MaxDifference(results[0], results[1]), 1e-5) << drops;
    for (size_t i = 0; i < gradients[0].size(); ++i) {
      EXPECT_LT(MaxDifference(gradients[0][i], gradients[1][i]), 1e-4) << drops << " " << i;
    }
  }
}

TEST(DoraLinear, LengthsFollowAAndB) {
  at::manual_seed(2);
  const at::Tensor weight = at::randn({6, 10}), x = at::randn({4, 10});
  const LoraSlot lora = Slot();
  const at::Tensor before = DoraLinear(x, {}, weight, {}, lora);
  EXPECT_TRUE(lora.dora_norm->lengths.defined());
  lora.b.detach().mul_(3);  // as the optimizer does it
  const at::Tensor after = DoraLinear(x, {}, weight, {}, lora);
  EXPECT_GT(MaxDifference(before, after), 1e-2);
  EXPECT_LT(MaxDifference(after, Defined(x, {}, weight, at::zeros({6}), lora)), 1e-5);
}

// Rows in pieces, of a weight that is not in fp32.
TEST(DoraLinear, LengthsOfALargeQuantisedWeight) {
  at::manual_seed(3);
  const auto quantized = QuantizeNf4(at::randn({2500, 64}), at::kCPU);
  LoraSlot lora;
  lora.a = at::randn({2, 64});
  lora.b = at::randn({2500, 2});
  const at::Tensor sum = quantized->Dequantize(at::kFloat) + at::mm(lora.b, lora.a);
  EXPECT_LT(MaxDifference(DoraLengths({{}, quantized}, lora), at::linalg_vector_norm(sum, 2, {1})), 1e-4);
}

TEST(Linear, WithAMagnitudeTakesAnyNumberOfDimensions) {
  at::manual_seed(4);
  Linear linear;
  linear.weight = at::randn({6, 10});
  linear.bias = at::randn({6});
  linear.lora = Slot();
  const at::Tensor x = at::randn({2, 3, 10});
  const at::Tensor y = linear.Forward(x);
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, 3, 6}));
  EXPECT_LT(
      MaxDifference(y.flatten(0, 1), Defined(x.flatten(0, 1), {}, linear.weight, linear.bias, *linear.lora)),
      1e-5);
}

}  // namespace
}  // namespace genflow::nn
