// Matrix products of many rows with a right side that stays: in blocks that fit the caches, with what follows
// done to each block while it is there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>

namespace genflow::nn {

class PackedWeight;

// [depth, columns]: w [columns, depth] turned over, or w [depth, columns] as it is. Its rows may stand apart.
struct RightSide {
  at::Tensor w;
  bool turned = false;
  const PackedWeight* packed = nullptr;  // [columns, depth], in place of w

  int64_t depth() const;
  int64_t columns() const;
};

// Rows and columns of a result.
struct BlockRange {
  int64_t row, rows, column, columns;
};

// Called when a range of a result is there, from any thread, for each range once.
using FinishRange = std::function<void(const BlockRange&)>;

struct ProductOptions {
  at::Tensor bias;      // [columns], added before the sums are rounded
  at::Tensor residual;  // [N, columns], added to what has been rounded; not the result itself
  FinishRange finish;
};

// One of several products of the same x: y [N, columns], and what ProductOptions says of it.
struct ProductPart {
  RightSide right;
  at::Tensor y, bias, residual;
};

// Whether products of x [N, depth] are made in blocks here: on the CPU, of many rows, in fp32, and in bf16
// where it is multiplied. Others are libtorch's.
bool HasBlockedProducts(const at::Tensor& x);

// y [N, columns] = x [N, depth] times the right side, all of one type and with dense rows; a packed one only
// where blocks of the type are multiplied (brgemm.h). Sums are fp32 and
// rounded once. Equal bytes on every number of threads. Nothing is recorded.
void ProductInto(const at::Tensor& x, const RightSide& right, const at::Tensor& y,
                 const ProductOptions& options = {});

// Several of them at a time, whose threads wait for each other but once. With `finish` all are as wide, and
// it is called for a range when that is there in all of them.
void ProductsInto(const at::Tensor& x, std::span<const ProductPart> parts, const FinishRange& finish = {});

// y [N, columns] = silu(x times gate) * (x times up), each rounded where Hugging Face's modules round: what
// the two parts give is not kept, and their `y` and `residual` are left undefined. Only where products are
// made in blocks.
void GatedProductInto(const at::Tensor& x, const ProductPart& gate, const ProductPart& up,
                      const at::Tensor& y);

// Does to y, a product made otherwise, what ProductInto does to its blocks.
void FinishProduct(const at::Tensor& y, const ProductOptions& options);

}  // namespace genflow::nn
