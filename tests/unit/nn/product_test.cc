#include "nn/product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <mutex>
#include <vector>

namespace genflow::nn {
namespace {

struct Shape {
  int64_t rows, depth, columns;
};

// Panels and blocks that are full and that are not, depths that are summed at once and in slices, and too few
// rows for blocks.
const Shape kShapes[] = {{64, 64, 96},   {65, 34, 97},    {300, 130, 200}, {513, 608, 48},
                         {70, 4100, 30}, {64, 9002, 101}, {3, 64, 96},     {129, 33, 17}};

at::Tensor Random(at::IntArrayRef shape, at::ScalarType type) { return at::randn(shape).to(type); }

// Whether y is `expected` but for the rounding of `depth` sums to fp32, and twice to the type of y.
void ExpectNear(const at::Tensor& y, const at::Tensor& expected, int64_t depth) {
  const double scale = std::sqrt(static_cast<double>(depth));
  const double tolerance = 0x1p-23 * scale + (y.scalar_type() == at::kFloat ? 0x1p-22 : 0x1p-7);
  const at::Tensor error = (y.to(at::kDouble) - expected).abs();
  EXPECT_LT((error / (expected.abs() + scale)).max().item<double>(), tolerance)
      << y.sizes() << " of depth " << depth;
}

class ProductTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(1); }
  void TearDown() override { at::set_num_threads(2); }
};

TEST_P(ProductTest, IsTheProductInDoublePrecision) {
  for (const Shape& s : kShapes) {
    const at::Tensor x = Random({s.rows, s.depth}, GetParam());
    for (const bool turned : {true, false}) {
      const at::Tensor w =
          turned ? Random({s.columns, s.depth}, GetParam()) : Random({s.depth, s.columns}, GetParam());
      const at::Tensor y = at::empty({s.rows, s.columns}, x.options());
      ProductInto(x, {w, turned}, y);
      const at::Tensor right = (turned ? w.t() : w).to(at::kDouble);
      ExpectNear(y, at::mm(x.to(at::kDouble), right), s.depth);
    }
  }
}

TEST_P(ProductTest, ReadsAndWritesRowsThatStandApart) {
  const at::Tensor x = Random({200, 96}, GetParam()).narrow(1, 16, 64);
  const at::Tensor w = Random({100, 80}, GetParam()).narrow(1, 0, 64);
  const at::Tensor all = at::zeros({200, 160}, x.options());
  ProductInto(x, {w, true}, all.narrow(1, 30, 100));
  ExpectNear(all.narrow(1, 30, 100), at::mm(x.to(at::kDouble), w.t().to(at::kDouble)), 64);
  EXPECT_EQ(all.narrow(1, 0, 30).abs().sum().item<float>(), 0);
  EXPECT_EQ(all.narrow(1, 130, 30).abs().sum().item<float>(), 0);
}

TEST_P(ProductTest, AddsBiasAndThenResidual) {
  for (const Shape& s : kShapes) {
    const at::Tensor x = Random({s.rows, s.depth}, GetParam()), w = Random({s.columns, s.depth}, GetParam());
    const at::Tensor bias = Random({s.columns}, GetParam()),
                     residual = Random({s.rows, s.columns}, GetParam());
    const at::Tensor y = at::empty({s.rows, s.columns}, x.options());
    ProductInto(x, {w, true}, y, {.bias = bias, .residual = residual});
    const at::Tensor expected =
        at::mm(x.to(at::kDouble), w.t().to(at::kDouble)) + bias.to(at::kDouble) + residual.to(at::kDouble);
    ExpectNear(y, expected, s.depth);
  }
}

TEST_P(ProductTest, FinishesEachRangeOnceWhenItIsThereInAllParts) {
  for (const Shape& s : kShapes) {
    const at::Tensor x = Random({s.rows, s.depth}, GetParam());
    const at::Tensor v = Random({s.columns, s.depth}, GetParam()), w = Random(v.sizes(), GetParam());
    const at::Tensor residual = Random({s.rows, s.columns}, GetParam());
    const at::Tensor y = at::zeros({s.rows, s.columns}, x.options()), z = at::zeros_like(y);
    const at::Tensor y_seen = at::zeros_like(y), z_seen = at::zeros_like(y);
    const at::Tensor times = at::zeros({s.rows, s.columns}, at::kInt);
    std::mutex mutex;
    const auto finish = [&](const BlockRange& r) {
      const std::lock_guard lock(mutex);
      const auto part = [&](const at::Tensor& of) {
        return of.narrow(0, r.row, r.rows).narrow(1, r.column, r.columns);
      };
      part(y_seen).copy_(part(y));
      part(z_seen).copy_(part(z));
      part(times).add_(1);
    };
    ProductsInto(x, std::vector<ProductPart>{{{v, true}, y, {}, residual}, {{w, true}, z, {}, {}}}, finish);
    EXPECT_TRUE(at::equal(times, at::ones_like(times)));
    EXPECT_TRUE(at::equal(y_seen, y) && at::equal(z_seen, z));
    const at::Tensor wide = x.to(at::kDouble);
    ExpectNear(y, at::mm(wide, v.t().to(at::kDouble)) + residual.to(at::kDouble), s.depth);
    ExpectNear(z, at::mm(wide, w.t().to(at::kDouble)), s.depth);
  }
}

TEST_P(ProductTest, SeveralPartsAreTheProductsOfEach) {
  for (const Shape& s : kShapes) {
    const at::Tensor x = Random({s.rows, s.depth}, GetParam());
    std::vector<ProductPart> parts;
    for (const int64_t columns : {s.columns, int64_t{1}, 2 * s.columns, int64_t{500}}) {
      parts.push_back({{Random({columns, s.depth}, GetParam()), true},
                       at::empty({s.rows, columns}, x.options()),
                       Random({columns}, GetParam()),
                       Random({s.rows, columns}, GetParam())});
    }
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      ProductsInto(x, parts);
      for (const ProductPart& part : parts) {
        const at::Tensor alone = at::empty_like(part.y);
        ProductInto(x, part.right, alone, {.bias = part.bias, .residual = part.residual});
        EXPECT_TRUE(at::equal(part.y, alone)) << part.y.sizes();
      }
    }
  }
}

TEST_P(ProductTest, GatedIsTheSameAsOfProductsThatAreKept) {
  if (!HasBlockedProducts(at::empty({64, 2}, GetParam())))
    GTEST_SKIP() << "no bf16 products in blocks on this CPU";
  for (const Shape& s : kShapes) {
    if (s.depth % 2 != 0) continue;
    const at::Tensor x = Random({s.rows, s.depth}, GetParam());
    for (const bool biased : {false, true}) {
      std::vector<ProductPart> parts(2);
      for (ProductPart& part : parts) {
        // So that sums are of the size of 1, where the gate is curved.
        part.right = {Random({s.columns, s.depth}, GetParam()) / std::sqrt(s.depth), true};
        if (biased) part.bias = Random({s.columns}, GetParam());
      }
      std::vector<at::Tensor> gated;
      for (const int threads : {1, 2, 3}) {
        at::set_num_threads(threads);
        gated.push_back(at::full({s.rows, s.columns + 3}, 7, x.options()).narrow(1, 0, s.columns));
        GatedProductInto(x, parts[0], parts[1], gated.back());
      }
      EXPECT_TRUE(at::equal(gated[0], gated[1]) && at::equal(gated[0], gated[2]));
      for (ProductPart& part : parts) part.y = at::empty({s.rows, s.columns}, x.options());
      if (HasBlockedProducts(x)) {
        ProductsInto(x, parts);
      } else {
        for (ProductPart& part : parts) {
          at::Tensor sum = at::mm(x.to(at::kDouble), part.right.w.t().to(at::kDouble));
          if (biased) sum += part.bias.to(at::kDouble);
          part.y.copy_(sum);
        }
      }
      const at::Tensor gate = parts[0].y.to(at::kDouble);
      const at::Tensor silu = (gate * at::sigmoid(gate)).to(x.scalar_type()).to(at::kDouble);
      const at::Tensor expected = silu * parts[1].y.to(at::kDouble);
      const double rounding = GetParam() == at::kFloat ? 1e-5 : 0x1p-6;
      EXPECT_LT(((gated[0] - expected).abs() / (expected.abs() + 1)).max().item<double>(), rounding)
          << expected.sizes() << " of depth " << s.depth;
    }
  }
}

TEST_P(ProductTest, GivesTheSameBytesOnEveryNumberOfThreads) {
  if (!HasBlockedProducts(at::empty({64, 2}, GetParam())))
    GTEST_SKIP() << "no bf16 products in blocks on this CPU";
  for (const Shape& s : kShapes) {
    if (s.rows < 64 || s.depth % 2 != 0) continue;  // libtorch's
    const at::Tensor x = Random({s.rows, s.depth}, GetParam()), w = Random({s.columns, s.depth}, GetParam());
    std::vector<at::Tensor> results;
    for (const int threads : {1, 2, 3}) {
      at::set_num_threads(threads);
      results.push_back(at::empty({s.rows, s.columns}, x.options()));
      ProductInto(x, {w, true}, results.back());
    }
    EXPECT_TRUE(at::equal(results[0], results[1]) && at::equal(results[0], results[2]));
  }
}

TEST_P(ProductTest, RefusesWhatDoesNotFit) {
  const at::Tensor x = Random({64, 32}, GetParam()), w = Random({16, 34}, GetParam());
  EXPECT_THROW(ProductInto(x, {w, true}, at::empty({64, 16}, x.options())), c10::Error);
  const RightSide fits{w.narrow(1, 0, 32), true};
  EXPECT_THROW(ProductInto(x, fits, at::empty({64, 17}, x.options())), c10::Error);
  const std::vector<ProductPart> parts = {
      {fits, at::empty({64, 16}, x.options()), {}, {}},
      {{fits.w.narrow(0, 0, 8), true}, at::empty({64, 8}, x.options()), {}, {}}};
  ProductsInto(x, parts);
  EXPECT_THROW(ProductsInto(x, parts, [](const BlockRange&) {}), c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Types, ProductTest, testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& type) { return type.param == at::kFloat ? "fp32" : "bf16"; });

}  // namespace
}  // namespace genflow::nn
