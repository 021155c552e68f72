#include "nn/attention.h"

#include <cmath>
#include <limits>

#include "fixtures.h"

namespace genflow::nn {
namespace {

constexpr int64_t kHeads = 6, kKvHeads = 2, kHeadDim = 8, kHidden = 20;

Attention RandomAttention() {
  at::manual_seed(5);
  Attention attention;
  attention.q_proj.weight = at::randn({kHeads * kHeadDim, kHidden}, at::kDouble);
  attention.k_proj.weight = at::randn({kKvHeads * kHeadDim, kHidden}, at::kDouble);
  attention.v_proj.weight = at::randn({kKvHeads * kHeadDim, kHidden}, at::kDouble);
  attention.o_proj.weight = at::randn({kHidden, kHeads * kHeadDim}, at::kDouble);
  attention.num_heads = kHeads;
  attention.num_kv_heads = kKvHeads;
  attention.head_dim = kHeadDim;
  return attention;
}

// The definition, with the whole mask written out: token i sees j <= i of the same segment.
at::Tensor Definition(const Attention& attention, const at::Tensor& x, const Rope::Angles& angles,
                      const std::vector<int64_t>& segment_of) {
  const int64_t n = x.size(0);
  const at::Tensor q = ApplyRope(attention.q_proj.Forward(x).view({n, kHeads, kHeadDim}), angles);
  const at::Tensor k = ApplyRope(attention.k_proj.Forward(x).view({n, kKvHeads, kHeadDim}), angles);
  const at::Tensor v = attention.v_proj.Forward(x).view({n, kKvHeads, kHeadDim});
  at::Tensor mask = at::zeros({n, n}, at::kDouble);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (j > i || segment_of[i] != segment_of[j]) mask[i][j] = -std::numeric_limits<double>::infinity();
    }
  }
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < kHeads; ++h) {
    const int64_t g = h / (kHeads / kKvHeads);
    const at::Tensor scores = at::matmul(q.select(1, h), k.select(1, g).t()) / std::sqrt(kHeadDim) + mask;
    heads.push_back(at::matmul(at::softmax(scores, -1), v.select(1, g)));
  }
  return attention.o_proj.Forward(at::cat(heads, -1));
}

TEST(Attention, EqualsItsDefinition) {
  const Attention attention = RandomAttention();
  const Rope rope(kHeadDim, 10000.0, RopeScaling{}, at::kCPU);
  const at::Tensor x = at::randn({12, kHidden}, at::kDouble);
  AttentionContext context;
  context.groups = {{0, 2, 3}, {6, 1, 5}, {11, 1, 1}};
  context.angles = rope.At(at::tensor(std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 0}));
  const at::Tensor expected = Definition(attention, x, context.angles, {0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3});
  EXPECT_LT(MaxDifference(attention.o_proj.Forward(attention.Attend(x, context, 0)), expected), 1e-10);
}

TEST(Attention, BackwardEqualsThatOfItsDefinition) {
  const Attention attention = RandomAttention();
  const Rope rope(kHeadDim, 10000.0, RopeScaling{}, at::kCPU);
  at::Tensor a = at::randn({9, kHidden}, at::kDouble).set_requires_grad(true);
  at::Tensor b = a.detach().clone().set_requires_grad(true);
  AttentionContext context;
  context.groups = {{0, 1, 4}, {4, 1, 5}};
  context.angles = rope.At(at::tensor(std::vector<int64_t>{0, 1, 2, 3, 0, 1, 2, 3, 4}));
  attention.o_proj.Forward(attention.Attend(a, context, 0)).square().sum().backward();
  Definition(attention, b, context.angles, {0, 0, 0, 0, 1, 1, 1, 1, 1}).square().sum().backward();
  EXPECT_LT(MaxDifference(a.grad(), b.grad()), 1e-7 * b.grad().abs().max().item<double>());
}

}  // namespace
}  // namespace genflow::nn
