#include "nn/train/loss.h"

#include "train_testing.h"

namespace genflow::nn::train {
namespace {

struct Problem {
  at::Tensor hidden, head, rows, targets;
};

Problem MakeProblem(int64_t tokens, int64_t width, int64_t vocab, std::vector<int64_t> rows) {
  at::manual_seed(3);
  Problem p;
  p.hidden = at::randn({tokens, width}).set_requires_grad(true);
  p.head = at::randn({vocab, width});
  p.targets = at::randint(vocab, {static_cast<int64_t>(rows.size())}, at::kLong);
  p.rows = at::tensor(rows, at::kLong);
  return p;
}

// The loss by ATen's own operations, and the gradient of hidden.
std::pair<at::Tensor, at::Tensor> Plain(const Problem& p, double scale) {
  at::Tensor hidden = p.hidden.detach().clone().set_requires_grad(true);
  const at::Tensor logits = at::linear(hidden.index_select(0, p.rows), p.head);
  const at::Tensor loss = at::cross_entropy_loss(logits, p.targets, {}, at::Reduction::Sum) * scale;
  loss.backward();
  return {loss, hidden.grad()};
}

TEST(LabelledCrossEntropy, EqualsCrossEntropyForEveryChunkSize) {
  const Problem p = MakeProblem(11, 8, 29, {0, 2, 3, 7, 8, 9, 10});
  const auto [expected, gradient] = Plain(p, 0.125);
  for (const int64_t buffer : {1, 2 * 4 * 29, 3 * 4 * 29 + 5, 1 << 20}) {
    p.hidden.mutable_grad().reset();
    const at::Tensor loss =
        LabelledCrossEntropy(p.hidden, p.head, p.rows, p.targets, 0.125, {.buffer_bytes = buffer});
    (loss * 2).backward();
    EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5) << buffer;
    EXPECT_LE(RelativeDifference(p.hidden.grad(), gradient * 2), 1e-6) << buffer;
    EXPECT_TRUE(at::equal(p.hidden.grad()[1], at::zeros({8}))) << "an unlabelled token has no gradient";
  }
}

TEST(LabelledCrossEntropy, GivesATrainedHeadItsGradient) {
  const Problem p = MakeProblem(11, 8, 29, {0, 2, 3, 7, 8, 9, 10});
  at::Tensor head = p.head.clone().set_requires_grad(true);
  (at::cross_entropy_loss(at::linear(p.hidden.index_select(0, p.rows), head), p.targets, {},
                          at::Reduction::Sum) *
   0.25)
      .backward();
  const at::Tensor expected = head.grad().clone(), hidden = p.hidden.grad().clone();
  for (const int64_t buffer : {1, 3 * 4 * 29 + 5, 1 << 20}) {
    p.hidden.mutable_grad().reset();
    head.mutable_grad() = at::ones_like(head);  // what other micro-batches gave
    (LabelledCrossEntropy(p.hidden, head, p.rows, p.targets, 0.125, {.buffer_bytes = buffer}) * 2).backward();
    EXPECT_LE(RelativeDifference(head.grad() - 1, expected), 1e-5) << buffer;
    EXPECT_LE(RelativeDifference(p.hidden.grad(), hidden), 1e-5) << buffer;
  }
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(LabelledCrossEntropy(p.hidden, head, p.rows, p.targets, 1).requires_grad());
}

// Heads that are multiplied a few rows at a time, because they are quantised or of another type than hidden.
TEST(LabelledCrossEntropy, MultipliesPartsOfAHead) {
  constexpr int64_t kVocab = 70000, kWidth = 128;
  Problem p = MakeProblem(9, kWidth, kVocab, {0, 2, 3, 7});
  p.head = p.head * 0.1;
  const auto quantized = QuantizeInt8(p.head, at::kCPU);
  p.head = quantized->Dequantize(at::kFloat);
  const auto [expected, gradient] = Plain(p, 0.25);
  const at::Tensor loss = LabelledCrossEntropy(p.hidden, Matrix({}, quantized), p.rows, p.targets, 0.25);
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-4);
  EXPECT_LE(RelativeDifference(p.hidden.grad(), gradient), 1e-5);

  // A trained head in fp32 under hidden states in bf16: products in bf16, its gradient in fp32.
  at::Tensor head = p.head.clone().set_requires_grad(true);
  const at::Tensor narrow = p.hidden.detach().to(at::kBFloat16).set_requires_grad(true);
  LabelledCrossEntropy(narrow, head, p.rows, p.targets, 0.25).backward();
  at::Tensor plain_head = p.head.clone().set_requires_grad(true);
  (at::cross_entropy_loss(at::linear(p.hidden.detach().index_select(0, p.rows), plain_head), p.targets, {},
                          at::Reduction::Sum) *
   0.25)
      .backward();
  EXPECT_EQ(head.grad().scalar_type(), at::kFloat);
  EXPECT_LE(RelativeDifference(head.grad(), plain_head.grad()), 0.02);
  EXPECT_LE(RelativeDifference(narrow.grad().to(at::kFloat), gradient), 0.02);
}

TEST(LabelledCrossEntropy, WithoutGradientsGivesTheSameLoss) {
  const Problem p = MakeProblem(6, 4, 17, {1, 2, 5});
  const auto [expected, gradient] = Plain(p, 1.0 / 3);
  const c10::NoGradGuard no_grad;
  const at::Tensor loss = LabelledCrossEntropy(p.hidden.detach(), p.head, p.rows, p.targets, 1.0 / 3);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5);
  EXPECT_FALSE(loss.requires_grad());
}

TEST(LabelledCrossEntropy, SurvivesLogitsThatOverflowExp) {
  Problem p = MakeProblem(3, 4, 9, {0, 1});
  p.head = p.head * 400;
  const auto [expected, gradient] = Plain(p, 1);
  const at::Tensor loss = LabelledCrossEntropy(p.hidden, p.head, p.rows, p.targets, 1);
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-3);
  EXPECT_LE(RelativeDifference(p.hidden.grad(), gradient), 1e-5);
}

TEST(LabelledCrossEntropy, NoLabelsGiveZero) {
  Problem p = MakeProblem(3, 4, 9, {});
  const at::Tensor loss = LabelledCrossEntropy(p.hidden, p.head, p.rows, p.targets, 1);
  loss.backward();
  EXPECT_EQ(loss.item<double>(), 0);
  EXPECT_TRUE(at::equal(p.hidden.grad(), at::zeros({3, 4})));
}

TEST(LabelledCrossEntropy, KeepsTheTypeOfTheModel) {
  Problem p = MakeProblem(5, 8, 29, {0, 2, 4});
  const auto [expected, gradient] = Plain(p, 1.0 / 3);
  const at::Tensor hidden = p.hidden.detach().to(at::kBFloat16).set_requires_grad(true);
  const at::Tensor loss = LabelledCrossEntropy(hidden, p.head.to(at::kBFloat16), p.rows, p.targets, 1.0 / 3);
  loss.backward();
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(hidden.grad().scalar_type(), at::kBFloat16);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 0.05);
  EXPECT_LE(RelativeDifference(hidden.grad().to(at::kFloat), gradient), 0.05);
}

}  // namespace
}  // namespace genflow::nn::train
