#include "nn/product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/brgemm.h"
#include "nn/decode/packed_weight.h"
#include "nn/product_kernels.h"
#include "nn/scratch.h"

namespace genflow::nn {
namespace {

using c10::BFloat16;

constexpr int64_t kTaskRows = 256;         // that a thread takes at a time
constexpr int64_t kGroupBytes = 1000'000;  // of the panels that a thread holds: half of a second cache
constexpr int64_t kDepth = 4096;           // at most, of what is summed at a time
constexpr int64_t kFewRows = 64;           // packing panels for fewer takes longer than multiplying them

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Numbers 0 .. count - 1 for threads that each begin at a place of their own, and help each other from the
// far end when their own are done.
class TaskQueues {
 public:
  TaskQueues(int64_t count, int threads) : ranges_(static_cast<size_t>(threads)) {
    for (int t = 0; t < threads; ++t) {
      ranges_[static_cast<size_t>(t)] = Range(count * t / threads, count * (t + 1) / threads);
    }
  }
  // The next for `thread`, or -1.
  int64_t Take(int thread) {
    const size_t own = static_cast<size_t>(thread);
    for (size_t i = 0; i < ranges_.size(); ++i) {
      std::atomic<uint64_t>& range = ranges_[(own + i) % ranges_.size()];
      uint64_t seen = range.load();
      while (Begin(seen) < End(seen)) {
        const uint64_t left = i == 0 ? Range(Begin(seen) + 1, End(seen)) : Range(Begin(seen), End(seen) - 1);
        if (range.compare_exchange_weak(seen, left)) return i == 0 ? Begin(seen) : End(seen) - 1;
      }
    }
    return -1;
  }

 private:
  static uint64_t Range(int64_t begin, int64_t end) {
    return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
  }
  static int64_t Begin(uint64_t range) { return static_cast<int64_t>(range >> 32); }
  static int64_t End(uint64_t range) { return static_cast<int64_t>(range & 0xffffffffu); }

  std::vector<std::atomic<uint64_t>> ranges_;
};

template <class T>
class BlockedProduct {
 public:
  BlockedProduct(const at::Tensor& x, const RightSide& right, const at::Tensor& y,
                 const ProductOptions& options)
      : right_(right),
        options_(options),
        x_(x.const_data_ptr<T>()),
        w_(right.packed != nullptr ? nullptr : right.w.const_data_ptr<T>()),
        bias_(options.bias.defined() ? options.bias.const_data_ptr<T>() : nullptr),
        residual_(options.residual.defined() ? options.residual.const_data_ptr<T>() : nullptr),
        y_(y.mutable_data_ptr<T>()),
        x_stride_(x.stride(0)),
        w_stride_(right.packed != nullptr ? 0 : right.w.stride(0)),
        residual_stride_(options.residual.defined() ? options.residual.stride(0) : 0),
        y_stride_(y.stride(0)),
        rows_(x.size(0)),
        depth_(x.size(1)),
        width_(options.halves ? y.size(1) / 2 : y.size(1)) {
    if (depth_ > kDepth && !std::is_same_v<T, float>)
      sums_ = at::empty({rows_, y.size(1)}, x.options().dtype(at::kFloat));
  }

  void Run() {
    const int64_t slices = DivideUp(depth_, kDepth);
    // Of equal depth, and even.
    const int64_t slice = DivideUp(DivideUp(depth_, slices), 64) * 64;
    for (int64_t begin = 0; begin < depth_; begin += slice) {
      Slice(begin, std::min(slice, depth_ - begin));
    }
  }

 private:
  static constexpr int64_t kPanel = kernels::kPanel<T>;
  // Depth that is multiplied at a time: of fp32, what leaves the second cache room for a block's rows.
  static constexpr int64_t kPiece = std::is_same_v<T, float> ? 640 : kDepth;
  // Columns of less than a panel that are multiplied at a time.
  static constexpr int64_t kColumns = 48;

  // Panels of one half, and of both where there are two.
  int64_t Sides() const { return options_.halves ? 2 : 1; }

  void Slice(int64_t begin, int64_t depth) {
    const int threads = at::get_num_threads();
    const int64_t panels = DivideUp(width_, kPanel), panel_bytes = Sides() * depth * kPanel * sizeof(T);
    const int64_t most = std::max<int64_t>(1, std::min(DivideUp(panels, threads), kGroupBytes / panel_bytes));
    const int64_t groups = DivideUp(panels, most), group = DivideUp(panels, groups);
    const int64_t parts = DivideUp(rows_, kTaskRows);
    TaskQueues queues(groups * parts, threads);
    at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t thread = first; thread < last; ++thread) {
        thread_local Scratch<T> panel_memory;
        thread_local Scratch<float> block_memory;
        T* const packed = panel_memory.At(static_cast<size_t>(group * Sides() * depth * kPanel));
        float* const block = block_memory.At(static_cast<size_t>(block_rows_ * kPanel));
        int64_t held = -1;
        for (int64_t task; (task = queues.Take(static_cast<int>(thread))) >= 0;) {
          const int64_t of = task / parts, from = of * group, to = std::min(panels, from + group);
          if (of != held) Pack(from, to, begin, depth, packed);
          held = of;
          const int64_t end = std::min(rows_, (task % parts + 1) * kTaskRows);
          for (int64_t row = task % parts * kTaskRows; row < end; row += block_rows_) {
            const int64_t count = std::min(block_rows_, end - row);
            for (int64_t p = from; p < to; ++p) {
              Block({row, count, p * kPanel, std::min(kPanel, width_ - p * kPanel)}, begin, depth,
                    packed + (p - from) * Sides() * depth * kPanel, block);
            }
            if (begin + depth < depth_ || !options_.finish) continue;
            options_.finish({row, count, from * kPanel, std::min(width_, to * kPanel) - from * kPanel});
          }
        }
        ReleaseBlocks<T>();
      }
    });
  }

  void Pack(int64_t from, int64_t to, int64_t begin, int64_t depth, T* packed) const {
    for (int64_t p = from; p < to; ++p) {
      for (int64_t side = 0; side < Sides(); ++side, packed += depth * kPanel) {
        const int64_t column = side * width_ + p * kPanel, columns = std::min(kPanel, width_ - p * kPanel);
        if (right_.packed != nullptr) {
          for (int64_t c = 0; c < columns; c += PackedWeight::kPanel) {
            right_.packed->Unpack((column + c) / PackedWeight::kPanel, begin, depth, packed + c * kTogether);
          }
        } else if (right_.turned) {
          kernels::PackTurned(w_ + column * w_stride_ + begin, w_stride_, columns, depth, packed, kPanel);
        } else {
          kernels::PackStraight(w_ + begin * w_stride_ + column, w_stride_, columns, depth, packed, kPanel);
        }
      }
    }
  }

  void Block(const BlockRange& range, int64_t begin, int64_t depth, const T* panel, float* block) {
    const bool ends = begin + depth == depth_;
    for (int64_t side = 0; side < Sides(); ++side, panel += depth * kPanel) {
      const int64_t column = side * width_ + range.column;
      float* sum = block;
      int64_t stride = kPanel;
      if constexpr (std::is_same_v<T, float>) {
        sum = y_ + range.row * y_stride_ + column;
        stride = y_stride_;
      } else if (sums_.defined()) {
        sum = sums_.mutable_data_ptr<float>() + range.row * sums_.stride(0) + column;
        stride = sums_.stride(0);
      }
      const int64_t step = range.columns == kPanel ? kPanel : kColumns;
      for (int64_t done = 0; done < depth; done += kPiece) {
        for (int64_t c = 0; c < range.columns; c += step) {
          MultiplyBlock(range.rows, std::min(step, range.columns - c), std::min(kPiece, depth - done),
                        x_ + range.row * x_stride_ + begin + done, x_stride_,
                        panel + done * kPanel + c * kTogether, kPanel, sum + c, stride,
                        /*add=*/begin + done > 0);
        }
      }
      const bool stays = std::is_same_v<T, float> && bias_ == nullptr && residual_ == nullptr;
      if (!ends || stays) continue;
      kernels::StoreBlock(sum, stride, range.rows, range.columns, bias_ == nullptr ? nullptr : bias_ + column,
                          residual_ == nullptr ? nullptr : residual_ + range.row * residual_stride_ + column,
                          residual_stride_, y_ + range.row * y_stride_ + column, y_stride_);
    }
  }

  static constexpr int64_t kTogether = 4 / sizeof(T);  // rows of a panel that are interleaved

  const RightSide& right_;
  const ProductOptions& options_;
  const int64_t block_rows_ = BlockRows<T>();
  const T *x_, *w_, *bias_, *residual_;
  T* y_;
  int64_t x_stride_, w_stride_, residual_stride_, y_stride_;
  int64_t rows_, depth_;
  int64_t width_;    // columns of one half
  at::Tensor sums_;  // [rows, columns] fp32, where not all is summed at a time
};

}  // namespace

void FinishProduct(const at::Tensor& y, const ProductOptions& options) {
  if (options.bias.defined()) y.add_(options.bias);
  if (options.residual.defined()) y.add_(options.residual);
  if (!options.finish) return;
  const int64_t columns = options.halves ? y.size(1) / 2 : y.size(1);
  at::parallel_for(0, y.size(0), 1, [&](int64_t begin, int64_t end) {
    options.finish({begin, end - begin, 0, columns});
  });
}

int64_t RightSide::depth() const { return packed != nullptr ? packed->columns() : w.size(turned ? 1 : 0); }
int64_t RightSide::columns() const { return packed != nullptr ? packed->rows() : w.size(turned ? 0 : 1); }

bool HasBlockedProducts(const at::Tensor& x) {
  return x.is_cpu() && x.size(0) >= kFewRows && MultipliesBlocksOf(x.scalar_type());
}

void ProductInto(const at::Tensor& x, const RightSide& right, const at::Tensor& y,
                 const ProductOptions& options) {
  TORCH_CHECK(x.size(1) == right.depth() && y.size(0) == x.size(0) && y.size(1) == right.columns() &&
                  x.stride(1) == 1 && (right.packed != nullptr || right.w.stride(1) == 1) && y.stride(1) == 1,
              "a product needs rows that are dense and fit");
  if (x.size(0) == 0) return;
  if (right.packed != nullptr || HasBlockedProducts(x)) {
    if (x.scalar_type() == at::kFloat) return BlockedProduct<float>(x, right, y, options).Run();
    if (x.size(1) % 2 == 0) return BlockedProduct<BFloat16>(x, right, y, options).Run();
  }
  at::Tensor out = y;
  at::mm_out(out, x, right.turned ? right.w.t() : right.w);
  FinishProduct(y, options);
}

}  // namespace genflow::nn
