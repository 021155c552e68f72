#include "nn/adapted_group.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "nn/brgemm.h"
#include "nn/fused.h"
#include "nn/gradient_product.h"

namespace genflow::nn {
namespace {

// The depth of products with so many columns.
int64_t Whole(int64_t columns, const at::TensorOptions& options) {
  if (options.dtype() != at::kBFloat16) return columns;
  return (columns + kTileDepth - 1) / kTileDepth * kTileDepth;
}

// [rows, columns] whose rows begin on cache lines, with zeros behind the first `filled` columns.
at::Tensor EmptyRows(int64_t rows, int64_t filled, int64_t columns, const at::TensorOptions& options) {
  const int64_t line = 64 / static_cast<int64_t>(options.dtype().itemsize());
  const at::Tensor all = at::empty({rows, (columns + line - 1) / line * line}, options);
  if (filled < columns) all.narrow(1, filled, columns - filled).zero_();
  return all.narrow(1, 0, columns);
}

}  // namespace

bool AdaptedGroup::Pays(const at::Tensor& x) { return x.is_cpu() && MultipliesBlocksOf(x.scalar_type()); }

AdaptedGroup::AdaptedGroup(std::vector<Linear*> linears, at::ScalarType dtype, uint64_t stream)
    : stream_(stream) {
  const c10::NoGradGuard no_grad;
  in_ = linears.front()->in_features();
  options_ = at::TensorOptions().dtype(dtype).device(linears.front()->matrix().device());
  bool quantized = false;
  for (Linear* linear : linears) {
    Part part{linear, out_, linear->out_features(), rank_, 0, {}, {}, 0, 0, 0, linear->quantized};
    quantized = quantized || linear->quantized != nullptr;
    if (linear->lora) {
      part.a = linear->lora->a;
      part.b = linear->lora->b;
      part.scaling = linear->lora->scaling;
      part.rank = part.a.size(0);
      part.a_version = part.a._version() - 1;
    }
    out_ += part.out;
    rank_ += part.rank;
    parts_.push_back(std::move(part));
  }
  height_ = Whole(out_ + rank_, options_);
  width_ = Whole(in_ + rank_, options_);
  if (quantized) return;
  matrix_ = EmptyMatrix();
  for (const Part& part : parts_) {
    const at::Tensor place = matrix_.narrow(0, part.row, part.out).narrow(1, 0, in_);
    place.copy_(part.linear->weight);
    part.linear->weight = place;
  }
}

at::Tensor AdaptedGroup::EmptyMatrix() const {
  const at::Tensor matrix = at::empty({height_, width_}, options_);
  matrix.narrow(1, in_, width_ - in_).zero_();
  matrix.narrow(0, out_ + rank_, height_ - out_ - rank_).zero_();
  return matrix;
}

bool AdaptedGroup::Holds() const {
  for (const Part& part : parts_) {
    const Linear& linear = *part.linear;
    if (linear.quantized != part.quantized) return false;
    if (matrix_.defined() &&
        linear.weight.storage().unsafeGetStorageImpl() != matrix_.storage().unsafeGetStorageImpl())
      return false;
    if ((linear.weight.defined() && linear.weight.requires_grad()) ||
        linear.lora.has_value() != part.a.defined())
      return false;
    if (!linear.lora) continue;
    const LoraSlot& lora = *linear.lora;
    if (!lora.a.is_same(part.a) || !lora.b.is_same(part.b)) return false;
  }
  return true;
}

void AdaptedGroup::CopyUpdate(const Part& part, const at::Tensor& matrix) const {
  matrix.narrow(0, out_ + part.column, part.rank).narrow(1, 0, in_).copy_(part.a);
  matrix.narrow(0, part.row, part.out).narrow(1, in_ + part.column, part.rank).copy_(part.b * part.scaling);
}

at::Tensor AdaptedGroup::Assemble(bool margins_alone) {
  const c10::NoGradGuard no_grad;
  if (!matrix_.defined()) {
    const at::Tensor matrix = EmptyMatrix();
    for (Part& part : parts_) {
      if (part.a.defined()) {
        part.scaling = part.linear->lora->scaling;
        CopyUpdate(part, matrix);
      }
      if (margins_alone) continue;
      const at::Tensor place = matrix.narrow(0, part.row, part.out).narrow(1, 0, in_);
      if (part.quantized) {
        part.quantized->DequantizeRows(0, part.out, place);
      } else {
        place.copy_(part.linear->weight);
      }
    }
    return matrix;
  }
  for (Part& part : parts_) {
    if (!part.a.defined()) continue;
    const uint32_t a_version = part.a._version(), b_version = part.b._version();
    const double scaling = part.linear->lora->scaling;
    if (a_version == part.a_version && b_version == part.b_version && part.scaling == scaling) continue;
    part.a_version = a_version;
    part.b_version = b_version;
    part.scaling = scaling;
    CopyUpdate(part, matrix_);
  }
  return matrix_;
}

at::Tensor AdaptedGroup::MakeInput(int64_t tokens) const {
  return EmptyRows(tokens, in_ + rank_, width_, options_);
}

bool AdaptedGroup::Drops(const Part& part) {
  return part.a.defined() && part.linear->lora->training && part.linear->lora->dropout > 0;
}

uint64_t AdaptedGroup::StreamOf(const Part& part, uint64_t seed) const {
  return seed + (stream_ + static_cast<uint64_t>(part.row)) * 0x9e3779b97f4a7c15ull;
}

at::Tensor AdaptedGroup::DownOf(const Part& part, const at::Tensor& matrix) const {
  return matrix.narrow(0, out_ + part.column, part.rank).narrow(1, 0, in_);
}

at::Tensor AdaptedGroup::Bias() const {
  std::vector<at::Tensor> biases;
  bool any = false;
  for (const Part& part : parts_) {
    const at::Tensor& bias = part.linear->bias;
    any = any || bias.defined();
    biases.push_back(bias.defined() ? bias.to(options_) : at::zeros({part.out}, options_));
  }
  return any ? at::cat(biases) : at::Tensor();
}

void AdaptedGroup::Forward(const at::Tensor& input, uint64_t seed, const at::Tensor& y,
                           const at::Tensor& residual, const FinishRange& finish) {
  const at::Tensor matrix = Assemble();
  const at::Tensor x = input.narrow(1, 0, in_);
  if (std::any_of(parts_.begin(), parts_.end(), Drops)) {
    const at::Tensor dropped = at::empty({x.size(0), in_}, x.options());
    for (const Part& part : parts_) {
      if (!part.a.defined()) continue;
      if (Drops(part)) DropInto(x, StreamOf(part, seed), part.linear->lora->dropout, /*add=*/false, dropped);
      ProductInto(Drops(part) ? dropped : x, {DownOf(part, matrix), /*turned=*/true},
                  input.narrow(1, in_ + part.column, part.rank));
    }
  } else if (rank_ > 0) {
    ProductInto(x, {matrix.narrow(0, out_, rank_).narrow(1, 0, in_), /*turned=*/true}, Margin(input));
  }
  if (!finish) {
    const RightSide all{matrix.narrow(0, 0, out_), /*turned=*/true};
    return ProductInto(input, all, y, {.bias = Bias(), .residual = residual});
  }
  std::vector<ProductPart> products;
  for (const Part& part : parts_) {
    ProductPart& product = products.emplace_back();
    product.right = {matrix.narrow(0, part.row, part.out), /*turned=*/true};
    product.y = y.narrow(1, part.row, part.out);
    if (part.linear->bias.defined()) product.bias = part.linear->bias.to(options_);
    if (residual.defined()) product.residual = residual.narrow(1, part.row, part.out);
  }
  ProductsInto(input, products, finish);
}

at::Tensor AdaptedGroup::MakeGradient(int64_t tokens) const {
  return EmptyRows(tokens, out_ + rank_, height_, options_);
}

void AdaptedGroup::Backward(const at::Tensor& gradient, uint64_t seed, const at::Tensor& dx,
                            const ProductOptions& options) {
  const at::Tensor matrix = Assemble(/*margins_alone=*/!dx.defined());
  bool drops = false;
  for (const Part& part : parts_) {
    if (!part.a.defined()) continue;
    drops = drops || Drops(part);
    ProductInto(gradient.narrow(1, part.row, part.out),
                {matrix.narrow(0, part.row, part.out).narrow(1, in_ + part.column, part.rank)},
                gradient.narrow(1, out_ + part.column, part.rank));
  }
  if (!dx.defined()) return;
  if (!drops) return ProductInto(gradient, {matrix.narrow(1, 0, in_)}, dx, options);
  // What passes through an input that was dropped out is dropped likewise.
  ProductInto(gradient.narrow(1, 0, out_), {matrix.narrow(0, 0, out_).narrow(1, 0, in_)}, dx);
  for (const Part& part : parts_) {
    if (!part.a.defined()) continue;
    const at::Tensor passed = at::mm(gradient.narrow(1, out_ + part.column, part.rank), DownOf(part, matrix));
    if (Drops(part)) {
      DropInto(passed, StreamOf(part, seed), part.linear->lora->dropout, /*add=*/true, dx);
    } else {
      dx.add_(passed);
    }
  }
  FinishProduct(dx, options);
}

void AdaptedGroup::AddGradients(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& margin,
                                uint64_t seed) {
  if (rank_ == 0 || !Anchor().defined()) return;
  at::Tensor da;  // [rank, in]
  if (std::none_of(parts_.begin(), parts_.end(), Drops))
    da = GradientProduct(gradient.narrow(1, out_, rank_), x);
  for (const Part& part : parts_) {
    if (!part.a.defined() || !part.a.requires_grad()) continue;
    const at::Tensor db =
        GradientProduct(margin.narrow(1, part.column, part.rank), gradient.narrow(1, part.row, part.out));
    part.b.grad().add_(db.t(), part.scaling);
    if (da.defined()) {
      part.a.grad().add_(da.narrow(0, part.column, part.rank));
      continue;
    }
    at::Tensor seen = x;
    if (Drops(part)) {
      seen = at::empty({x.size(0), in_}, x.options());
      DropInto(x, StreamOf(part, seed), part.linear->lora->dropout, /*add=*/false, seen);
    }
    part.a.grad().add_(GradientProduct(gradient.narrow(1, out_ + part.column, part.rank), seen));
  }
}

at::Tensor AdaptedGroup::Anchor() const {
  for (const Part& part : parts_) {
    if (part.a.defined() && part.a.requires_grad()) return part.a;
  }
  return {};
}

}  // namespace genflow::nn
