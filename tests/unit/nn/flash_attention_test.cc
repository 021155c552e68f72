#include "nn/flash_attention.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "fixtures.h"
#include "nn/device.h"

namespace genflow::nn {
namespace {

// Around the borders of blocks of 96 and of the 16 rows that they are padded to.
const std::vector<int64_t> kLengths = {1, 2, 15, 16, 17, 64, 95, 96, 97, 192, 250};

std::vector<int64_t> Bounds(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> bounds = {0};
  for (const int64_t length : lengths) bounds.push_back(bounds.back() + length);
  return bounds;
}

struct Shape {
  at::ScalarType type;
  int64_t heads, kv_heads, dim;
};

// q, k and v as a projection leaves them: side by side in one matrix, with something behind them.
struct Problem {
  explicit Problem(const Shape& shape) {
    at::manual_seed(17);
    const int64_t n = bounds.back(), q_size = shape.heads * shape.dim, kv_size = shape.kv_heads * shape.dim;
    const at::Tensor all = at::randn({n, q_size + 2 * kv_size + 3}).to(shape.type);
    q = all.narrow(1, 0, q_size).unflatten(1, {shape.heads, shape.dim});
    k = all.narrow(1, q_size, kv_size).unflatten(1, {shape.kv_heads, shape.dim});
    v = all.narrow(1, q_size + kv_size, kv_size).unflatten(1, {shape.kv_heads, shape.dim});
    dout = at::randn({n, shape.heads, shape.dim}).to(shape.type);
  }
  std::vector<int64_t> bounds = Bounds(kLengths);
  at::Tensor q, k, v, dout;
};

// Each result and gradient in double precision, with the whole mask written out.
struct Definition {
  explicit Definition(const Problem& p) {
    const int64_t n = p.q.size(0), group = p.q.size(1) / p.k.size(1);
    const auto leaf = [](const at::Tensor& x) { return x.to(at::kDouble).clone().set_requires_grad(true); };
    q = leaf(p.q), k = leaf(p.k), v = leaf(p.v);
    at::Tensor mask = at::full({n, n}, -std::numeric_limits<double>::infinity(), at::kDouble);
    for (size_t s = 0; s + 1 < p.bounds.size(); ++s) {
      for (int64_t i = p.bounds[s]; i < p.bounds[s + 1]; ++i)
        mask[i].narrow(0, p.bounds[s], i - p.bounds[s] + 1).zero_();
    }
    std::vector<at::Tensor> outs, lses;
    for (int64_t h = 0; h < p.q.size(1); ++h) {
      const at::Tensor scores =
          at::matmul(q.select(1, h), k.select(1, h / group).t()) / std::sqrt(static_cast<double>(q.size(2))) +
          mask;
      outs.push_back(at::matmul(at::softmax(scores, -1), v.select(1, h / group)));
      lses.push_back(scores.detach().logsumexp(-1));
    }
    out = at::stack(outs, 1);
    lse = at::stack(lses, 0);
    (out * p.dout.to(at::kDouble)).sum().backward();
  }
  at::Tensor q, k, v, out, lse;
};

class FlashAttentionOf : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(Shapes, FlashAttentionOf,
                         testing::Values(Shape{at::kFloat, 6, 2, 8}, Shape{at::kFloat, 3, 3, 64},
                                         Shape{at::kFloat, 2, 1, 96}, Shape{at::kBFloat16, 6, 2, 8},
                                         Shape{at::kBFloat16, 3, 1, 64}),
                         [](const auto& info) {
                           const Shape& s = info.param;
                           return std::string(c10::toString(s.type)) + "_" + std::to_string(s.heads) + "_" +
                                  std::to_string(s.kv_heads) + "_" + std::to_string(s.dim);
                         });

TEST_P(FlashAttentionOf, EqualsItsDefinitionForwardAndBackward) {
  const Problem p(GetParam());
  ASSERT_TRUE(HasFlashAttention(p.q, p.q.size(2)));
  const Definition expected(p);
  const at::Tensor out = at::empty(p.q.sizes(), p.q.options());
  const at::Tensor lse = at::empty({p.q.size(1), p.q.size(0)}, at::kFloat);
  FlashAttention(p.q, p.k, p.v, p.bounds, out, lse);
  // bf16: half a last bit of the inputs' products, of the weights and of the result.
  const double tolerance = GetParam().type == at::kFloat ? 3e-6 : 2e-2;
  EXPECT_LT(MaxDifference(out, expected.out.detach()), tolerance * expected.out.abs().max().item<double>());
  EXPECT_LT(MaxDifference(lse, expected.lse), 1e-5 * expected.lse.abs().max().item<double>());

  // Into a matrix, as they come; what stands behind them stays.
  const int64_t q_size = p.q.size(1) * p.q.size(2), kv_size = p.k.size(1) * p.k.size(2);
  const at::Tensor all = at::full({p.q.size(0), q_size + 2 * kv_size + 2}, 7, p.q.options());
  const at::Tensor dq = all.narrow(1, 0, q_size).unflatten(1, {p.q.size(1), p.q.size(2)});
  const at::Tensor dk = all.narrow(1, q_size, kv_size).unflatten(1, {p.k.size(1), p.k.size(2)});
  const at::Tensor dv = all.narrow(1, q_size + kv_size, kv_size).unflatten(1, {p.k.size(1), p.k.size(2)});
  FlashAttentionBackward(p.q, p.k, p.v, out, lse, p.dout, p.bounds, dq, dk, dv);
  EXPECT_LT(MaxDifference(dq, expected.q.grad()), tolerance * expected.q.grad().abs().max().item<double>());
  EXPECT_LT(MaxDifference(dk, expected.k.grad()), tolerance * expected.k.grad().abs().max().item<double>());
  EXPECT_LT(MaxDifference(dv, expected.v.grad()), tolerance * expected.v.grad().abs().max().item<double>());
  EXPECT_TRUE(all.narrow(1, q_size + 2 * kv_size, 2).eq(7).all().item<bool>());
}

TEST_P(FlashAttentionOf, EqualBytesOnEveryNumberOfThreads) {
  const Problem p(GetParam());
  // Many sequences, and one that threads share.
  for (const std::vector<int64_t>& bounds : {p.bounds, {0, p.q.size(0)}}) {
    std::vector<std::vector<at::Tensor>> runs;
    for (const int threads : {1, 3}) {
      SetThreads(threads);
      const at::Tensor out = at::empty(p.q.sizes(), p.q.options());
      const at::Tensor lse = at::empty({p.q.size(1), p.q.size(0)}, at::kFloat);
      FlashAttention(p.q, p.k, p.v, bounds, out, lse);
      const at::Tensor dq = at::empty(p.q.sizes(), p.q.options()), dk = at::empty(p.k.sizes(), p.k.options());
      const at::Tensor dv = at::empty_like(dk);
      FlashAttentionBackward(p.q, p.k, p.v, out, lse, p.dout, bounds, dq, dk, dv);
      runs.push_back({out, lse, dq, dk, dv});
    }
    for (size_t i = 0; i < runs[0].size(); ++i) EXPECT_TRUE(at::equal(runs[0][i], runs[1][i])) << i;
  }
  SetThreads(1);
}

TEST_P(FlashAttentionOf, WhatContinuesAPrefixIsAsInOneSequence) {
  const Problem p(GetParam());
  const int64_t n = p.q.size(0);
  const at::Tensor whole = at::empty(p.q.sizes(), p.q.options());
  FlashAttention(p.q, p.k, p.v, std::vector<int64_t>{0, n}, whole, {});
  for (const int64_t past : {1, 10, 63, 64, 95, 96, 100, 200, 700}) {
    const std::vector<PrefixSegment> segments = {{{0, past}, {}, 0}, {{past, n}, {{0, past}}, past}};
    const at::Tensor out = at::empty_like(whole);
    FlashAttentionTree(p.q, p.k, p.v, std::vector<int64_t>{0, past, n}, segments, out);
    const double tolerance = GetParam().type == at::kFloat ? 3e-6 : 2e-2;
    EXPECT_LT(MaxDifference(out, whole), tolerance * whole.abs().max().item<double>()) << past;
  }
}

TEST(FlashAttention, ScoresOfAnySizeGiveFiniteResults) {
  const Problem p({at::kFloat, 2, 1, 16});
  for (const double size : {1e-20, 1e3, 1e6}) {
    const at::Tensor out = at::empty(p.q.sizes(), p.q.options());
    const at::Tensor lse = at::empty({2, p.q.size(0)}, at::kFloat);
    const at::Tensor q = p.q * size;
    FlashAttention(q, p.k, p.v, p.bounds, out, lse);
    EXPECT_TRUE(out.isfinite().all().item<bool>()) << size;
    const at::Tensor dq = at::empty_like(q), dk = at::empty(p.k.sizes(), p.k.options()),
                     dv = at::empty_like(dk);
    FlashAttentionBackward(q, p.k, p.v, out, lse, p.dout, p.bounds, dq, dk, dv);
    EXPECT_TRUE(dq.isfinite().all().item<bool>() && dk.isfinite().all().item<bool>()) << size;
  }
}

TEST(FlashAttention, IsNotForOtherTypesAndDimensions) {
  EXPECT_FALSE(HasFlashAttention(at::zeros({1}, at::kDouble), 64));
  EXPECT_FALSE(HasFlashAttention(at::zeros({1}), 7));
  EXPECT_FALSE(HasFlashAttention(at::zeros({1}), 512));
}

}  // namespace
}  // namespace genflow::nn
