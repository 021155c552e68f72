#include "nn/gradient_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <type_traits>

#include "nn/brgemm.h"
#include "nn/product_kernels.h"
#include "nn/rows.h"
#include "nn/scratch.h"

namespace genflow::nn {
namespace {

using c10::BFloat16;

constexpr int64_t kColumns = 48;  // that are summed at a time: three registers
constexpr int64_t kTokens = 512;  // of which a thread holds that many columns

// b is read once, by each thread its columns; a, turned over, stays in the cache.
template <class T>
void InBlocks(const at::Tensor& a, const at::Tensor& b, const at::Tensor& y) {
  const int64_t tokens = a.size(0), rows = a.size(1), columns = b.size(1);
  const at::Tensor turned = a.t().contiguous();  // [r, N]
  const RowsOf<const T> left(turned), right(b);
  const RowsOf<float> to(y);
  at::parallel_for(0, (columns + kColumns - 1) / kColumns, 1, [&](int64_t begin, int64_t end) {
    thread_local Scratch<T> scratch;
    for (int64_t token = 0; token < tokens; token += kTokens) {
      const int64_t depth = std::min(kTokens, tokens - token);
      for (int64_t c = begin * kColumns; c < std::min(columns, end * kColumns); c += kColumns) {
        const int64_t width = std::min(kColumns, columns - c);
        const T* block = right.At(token, c);
        int64_t stride = right.stride;
        if constexpr (!std::is_same_v<T, float>) {
          T* const pairs = scratch.At(static_cast<size_t>(kTokens * kColumns));
          kernels::PackStraight(block, stride, width, depth, pairs, kColumns);
          block = pairs;
          stride = kColumns;
        }
        MultiplyBlock(rows, width, depth, left.At(0, token), left.stride, block, stride, to.At(0, c),
                      to.stride, /*add=*/token > 0);
      }
    }
    ReleaseBlocks<T>();
  });
}

}  // namespace

at::Tensor GradientProduct(const at::Tensor& a, const at::Tensor& b) {
  TORCH_CHECK(a.size(0) == b.size(0) && a.scalar_type() == b.scalar_type() && b.stride(1) == 1,
              "gradients are of as many tokens, in dense rows");
  const bool fits = a.size(0) > 0 && a.size(1) > 0 && b.size(1) > 0;
  if (fits && a.is_cpu() && MultipliesBlocksOf(a.scalar_type())) {
    at::Tensor y = at::empty({a.size(1), b.size(1)}, a.options().dtype(at::kFloat));
    if (a.scalar_type() == at::kFloat) {
      InBlocks<float>(a, b, y);
      return y;
    }
    if (a.size(0) % 2 == 0) {
      InBlocks<BFloat16>(a, b, y);
      return y;
    }
  }
  return at::mm(a.t(), b).to(at::kFloat);
}

}  // namespace genflow::nn
