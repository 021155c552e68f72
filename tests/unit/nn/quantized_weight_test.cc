#include "nn/quantized_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "fixtures.h"
#include "formats/gguf.h"
#include "formats/model_source.h"
#include "nn/linear.h"

namespace genflow::nn {
namespace {

// Rows in any piece, in any type, into rows that stand apart, are those of the whole.
void ExpectPiecesAreOfTheWhole(const QuantizedWeight& weight) {
  const at::Tensor whole = weight.Dequantize(at::kFloat);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor apart = at::full({weight.rows(), weight.columns() + 3}, 7, dtype);
    const int64_t middle = weight.rows() / 2 + 1;
    weight.DequantizeRows(0, middle, apart.narrow(0, 0, middle).narrow(1, 0, weight.columns()));
    weight.DequantizeRows(middle, weight.rows(),
                          apart.narrow(0, middle, weight.rows() - middle).narrow(1, 0, weight.columns()));
    EXPECT_TRUE(at::equal(apart.narrow(1, 0, weight.columns()), whole.to(dtype))) << dtype;
    EXPECT_TRUE(at::equal(apart.narrow(1, weight.columns(), 3), at::full({weight.rows(), 3}, 7, dtype)));
    const at::Tensor ids = at::tensor({weight.rows() - 1, int64_t{0}, int64_t{1}, int64_t{0}}, at::kLong);
    EXPECT_TRUE(at::equal(weight.DequantizeRows(ids, dtype), whole.to(dtype).index_select(0, ids))) << dtype;
  }
}

TEST(Int8, RowsAreWithinHalfAStep) {
  at::manual_seed(1);
  at::Tensor weight = at::randn({37, 70});
  weight[5].zero_();
  const auto quantized = QuantizeInt8(weight, at::kCPU);
  EXPECT_EQ(quantized->format(), "INT8");
  EXPECT_EQ(quantized->bytes(), 37 * 70 + 37 * 4);
  const at::Tensor steps = weight.abs().amax(1, true) / 127;
  const at::Tensor error = (quantized->Dequantize(at::kFloat) - weight).abs();
  EXPECT_TRUE(error.le(steps * 0.51 + 1e-3 * weight.abs()).all().item<bool>());
  EXPECT_TRUE(at::equal(quantized->Dequantize(at::kFloat)[5], at::zeros({70})));
  ExpectPiecesAreOfTheWhole(*quantized);
}

TEST(Nf4, BlocksRunOnFromRowToRow) {
  at::manual_seed(2);
  for (const int64_t columns : {64, 48, 33, 7}) {
    const at::Tensor weight = at::randn({41, columns});
    const auto quantized = QuantizeNf4(weight, at::kCPU);
    EXPECT_EQ(quantized->format(), "NF4");
    const int64_t size = 41 * columns, blocks = (size + 63) / 64;
    EXPECT_EQ(quantized->bytes(), (size + 1) / 2 + blocks + (blocks + 255) / 256 * 4);
    const at::Tensor error = (quantized->Dequantize(at::kFloat) - weight).abs();
    EXPECT_LT(error.mean().item<double>(), 0.11) << columns;
    EXPECT_LT(error.max().item<double>(), 0.17 * weight.abs().max().item<double>() + 0.05) << columns;
    ExpectPiecesAreOfTheWhole(*quantized);
  }
}

TEST(Nf4, NumbersOfItsOwnStayThemselves) {
  at::manual_seed(3);
  const auto once = QuantizeNf4(at::randn({8, 64}), at::kCPU)->Dequantize(at::kFloat);
  const auto twice = QuantizeNf4(once, at::kCPU)->Dequantize(at::kFloat);
  EXPECT_LT(MaxDifference(once, twice), 0.03) << "but for what the scales lose";
}

class Gguf : public testing::Test {
 protected:
  void SetUp() override {
    auto source = formats::ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
    ASSERT_TRUE(source.ok()) << source.error().ToString();
    source_ = std::move(*source);
  }
  at::Tensor Read(const std::string& name) const {
    const auto& shape = source_->Find(name)->shape;
    at::Tensor out = at::empty(shape);
    EXPECT_TRUE(source_->Read(name, formats::DType::kF32, out.mutable_data_ptr()).ok());
    return out;
  }
  std::optional<formats::ModelSource> source_;
};

TEST_F(Gguf, MatricesStandInTheMapAndInHuggingFacesOrder) {
  for (const std::string name :
       {"model.layers.3.self_attn.q_proj", "model.layers.3.self_attn.k_proj",
        "model.layers.0.self_attn.v_proj", "model.layers.29.mlp.down_proj", "model.embed_tokens"}) {
    SCOPED_TRACE(name);
    const auto weight = GgmlWeight(*source_, name + ".weight", at::kCPU);
    ASSERT_NE(weight, nullptr);
    EXPECT_TRUE(at::equal(weight->Dequantize(at::kFloat), Read(name + ".weight")));
    ExpectPiecesAreOfTheWhole(*weight);

    // As a kernel reads it that multiplies by the blocks.
    const auto ggml = weight->ggml();
    ASSERT_TRUE(ggml);
    EXPECT_EQ(weight->format(), name == "model.embed_tokens" ? "Q8_0" : "Q4_1");
    EXPECT_EQ(weight->format(), formats::GgmlTypeName(ggml->type));
    EXPECT_EQ(weight->bytes(), static_cast<int64_t>(ggml->row_bytes * ggml->rows));
    EXPECT_EQ(ggml->head_rows,
              name.find("q_proj") != std::string::npos || name.find("k_proj") != std::string::npos ? 64 : 0);
    const uint64_t row = ggml->rows - 3;
    at::Tensor values = at::empty({weight->columns()});
    ASSERT_TRUE(formats::DequantizeRows(ggml->type, ggml->data + ggml->FileRow(row) * ggml->row_bytes, 1,
                                        ggml->columns, values.mutable_data_ptr<float>())
                    .ok());
    EXPECT_TRUE(at::equal(values, weight->Dequantize(at::kFloat)[static_cast<int64_t>(row)]));
  }
  EXPECT_EQ(GgmlWeight(*source_, "model.norm.weight", at::kCPU), nullptr) << "a vector is read";
}

TEST_F(Gguf, TheMapOutlivesTheSource) {
  const at::Tensor expected = Read("model.layers.0.mlp.up_proj.weight");
  const auto weight = GgmlWeight(*source_, "model.layers.0.mlp.up_proj.weight", at::kCPU);
  source_.reset();
  EXPECT_TRUE(at::equal(weight->Dequantize(at::kFloat), expected));
}

TEST_F(Gguf, AModelComputesAsIfItWereRead) {
  const auto kept = LoadCausalLM(*source_, {.quantization = Quantization::kGguf});
  const auto read = LoadCausalLM(*source_, {});
  ASSERT_TRUE(kept.ok() && read.ok());
  EXPECT_LT((*kept)->WeightBytes() * 5, (*read)->WeightBytes());
  EXPECT_EQ((*kept)->NumParameters(), (*read)->NumParameters());
  const at::NoGradGuard no_grad;
  const Batch batch = OneRow({1, 4093, 198, 1348, 28, 638, 359});
  const at::Tensor hidden = (*read)->Hidden(batch);
  EXPECT_LE(MaxDifference((*kept)->Hidden(batch), hidden), 1e-5 * hidden.abs().max().item<double>());
  EXPECT_LE(MaxDifference((*kept)->Logits(hidden), (*read)->Logits(hidden)), 1e-4);
}

// Once a matrix is laid out for decoding, products of many rows are taken from that.
TEST_F(Gguf, ProductsAreTheSameWithAndWithoutThePackedLayout) {
  at::manual_seed(5);
  const at::NoGradGuard no_grad;
  for (const std::string name : {"model.layers.3.self_attn.q_proj", "model.layers.0.mlp.down_proj"}) {
    const auto weight = GgmlWeight(*source_, name + ".weight", at::kCPU);
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const auto fresh = GgmlWeight(*source_, name + ".weight", at::kCPU);
      const at::Tensor many = at::randn({133, weight->columns()}).to(dtype), few = many.narrow(0, 0, 40);
      const at::Tensor y = Project(many, {at::Tensor(), fresh}), y_few = Project(few, {at::Tensor(), fresh});
      EXPECT_EQ(fresh->PackedIfMade(), nullptr) << "a product alone does not take that memory";
      ASSERT_NE(weight->Packed(), nullptr);
      EXPECT_TRUE(at::equal(Project(many, {at::Tensor(), weight}), y)) << name << " " << dtype;
      EXPECT_LE(MaxDifference(Project(few, {at::Tensor(), weight}), y_few),
                (dtype == at::kFloat ? 1e-5 : 1e-2) * y.abs().max().item<double>());
    }
  }
}

TEST(Quantized, ProductsAndTheirGradientsAreThoseOfTheDequantised) {
  at::manual_seed(4);
  const at::Tensor weight = at::randn({24, 40});
  for (const auto& quantized : {QuantizeInt8(weight, at::kCPU), QuantizeNf4(weight, at::kCPU)}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      Linear kept, plain;
      kept.quantized = quantized;
      plain.weight = quantized->Dequantize(dtype);
      kept.bias = plain.bias = at::randn({24}).to(dtype);
      EXPECT_EQ(kept.in_features(), 40);
      EXPECT_EQ(kept.out_features(), 24);
      const at::Tensor x = at::randn({3, 5, 40}).to(dtype), dy = at::randn({3, 5, 24}).to(dtype);
      at::Tensor gradients[2];
      at::Tensor results[2];
      for (const int i : {0, 1}) {
        const at::Tensor leaf = x.clone().set_requires_grad(true);
        results[i] = (i == 0 ? kept : plain).Forward(leaf);
        (results[i] * dy).sum().backward();
        gradients[i] = leaf.grad();
      }
      const double tolerance = dtype == at::kFloat ? 1e-5 : 0.2;  // the bias is added to a rounded product
      EXPECT_LE(MaxDifference(results[0], results[1]), tolerance);
      EXPECT_LE(MaxDifference(gradients[0], gradients[1]), tolerance);
    }
  }
}

TEST(Quantized, OnlyAGgufHasAQuantisationToKeep) {
  const auto source = formats::ModelSource::Open(FixturePath("tiny_gqa_tied"));
  ASSERT_TRUE(source.ok());
  const auto model = LoadCausalLM(*source, {.quantization = Quantization::kGguf});
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().ToString(), "model " + FixturePath("tiny_gqa_tied").string() +
                                          " is no GGUF, whose quantisation could be kept\n"
                                          "  hint: quantization int8 or nf4 quantises any model");
}

}  // namespace
}  // namespace genflow::nn
