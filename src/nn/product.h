// Matrix products of many rows with a right side that stays: in blocks that fit the caches, with what follows
// done to each block while it is there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

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

struct ProductOptions {
  at::Tensor bias;      // [columns], added before the sums are rounded
  at::Tensor residual;  // [N, columns], added to what has been rounded; not the result itself
  // Called when a range of the result is there, from any thread, for each range once.
  std::function<void(const BlockRange&)> finish;
  // Of results that are two halves side by side: `finish` is called for ranges of the left one, when the same
  // range of the right one is there, too.
  bool halves = false;
};

// Whether products of x [N, depth] are made in blocks here: on the CPU, of many rows, in fp32, and in bf16
// where it is multiplied. Others are libtorch's.
bool HasBlockedProducts(const at::Tensor& x);

// y [N, columns] = x [N, depth] times the right side, all of one type and with dense rows; a packed one only
// where blocks of the type are multiplied (brgemm.h). Sums are fp32 and
// rounded once. Equal bytes on every number of threads. Nothing is recorded.
void ProductInto(const at::Tensor& x, const RightSide& right, const at::Tensor& y,
                 const ProductOptions& options = {});

// Does to y, a product made otherwise, what ProductInto does to its blocks.
void FinishProduct(const at::Tensor& y, const ProductOptions& options);

}  // namespace genflow::nn
