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
#include "nn/kernels.h"
#include "nn/product_kernels.h"
#include "nn/rows.h"
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

void Check(const at::Tensor& x, const RightSide& right, const at::Tensor& y) {
  TORCH_CHECK(x.size(1) == right.depth() && y.size(0) == x.size(0) && y.size(1) == right.columns() &&
                  x.stride(1) == 1 && (right.packed != nullptr || right.w.stride(1) == 1) && y.stride(1) == 1,
              "a product needs rows that are dense and fit");
}

template <class T>
class BlockedProducts {
 public:
  // With `gated` there are two parts, and what they give goes there.
  BlockedProducts(const at::Tensor& x, std::span<const ProductPart> parts, const FinishRange& finish,
                  const at::Tensor& gated = {})
      : finish_(finish),
        x_(x),
        gated_(gated),
        rows_(x.size(0)),
        depth_(x.size(1)),
        abreast_(finish || gated.defined() ? parts.size() : 1) {
    for (const ProductPart& part : parts) {
      sides_.emplace_back(part);
      if (depth_ > kDepth && !SumsInPlace())
        sides_.back().sums = at::empty({rows_, part.right.columns()}, x.options().dtype(at::kFloat));
    }
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
  // Columns that threads share out: panels begin at multiples of it, and those that are no whole panel are
  // multiplied so many at a time.
  static constexpr int64_t kUnit = 48;
  static constexpr int64_t kTogether = 4 / sizeof(T);  // rows of a panel that are interleaved

  // A part.
  struct Side {
    explicit Side(const ProductPart& part)
        : right(part.right),
          w(right.packed != nullptr ? at::Tensor() : right.w),
          bias(part.bias.defined() ? part.bias.const_data_ptr<T>() : nullptr),
          residual(part.residual),
          y(part.y),
          width(part.right.columns()) {}
    const T* BiasAt(int64_t column) const { return bias == nullptr ? nullptr : bias + column; }

    const RightSide& right;
    RowsOf<const T> w;
    const T* bias;
    RowsOf<const T> residual;
    RowsOf<T> y;
    int64_t width;
    at::Tensor sums;  // [rows, columns] fp32, where not all is summed at a time
  };
  // Columns of the sides first .. first + abreast_ - 1.
  struct Panel {
    size_t first;
    int64_t column, columns;
  };

  bool SumsInPlace() const { return std::is_same_v<T, float> && gated_.data == nullptr; }

  // The panels of all columns in as many groups as keep threads equally busy and are held in a cache.
  std::vector<std::vector<Panel>> Groups(int64_t depth, int threads) const {
    const auto units_of = [](const Side& side) { return DivideUp(side.width, kUnit); };
    int64_t units = 0;
    for (size_t s = 0; s < sides_.size(); s += abreast_) units += units_of(sides_[s]);
    const int64_t bytes = static_cast<int64_t>(abreast_) * depth * kUnit * static_cast<int64_t>(sizeof(T));
    const int64_t most = std::max<int64_t>(1, kGroupBytes / bytes);
    const int64_t count = std::min(units, DivideUp(DivideUp(units, most), threads) * threads);
    std::vector<std::vector<Panel>> groups(static_cast<size_t>(count));
    int64_t first = 0;  // unit of a side, counted through all
    for (size_t s = 0; s < sides_.size(); s += abreast_) {
      const int64_t own = units_of(sides_[s]);
      for (int64_t g = 0; g < count; ++g) {
        const int64_t from = std::max<int64_t>(0, units * g / count - first) * kUnit;
        const int64_t to = std::min(own, units * (g + 1) / count - first) * kUnit;
        for (int64_t c = from; c < to; c += kPanel) {
          const int64_t end = std::min({c + kPanel, to, sides_[s].width});
          groups[static_cast<size_t>(g)].push_back({s, c, end - c});
        }
      }
      first += own;
    }
    return groups;
  }

  void Slice(int64_t begin, int64_t depth) {
    const int threads = at::get_num_threads();
    const auto groups = Groups(depth, threads);
    size_t panels = 0;
    for (const auto& group : groups) panels = std::max(panels, group.size());
    const int64_t parts = DivideUp(rows_, kTaskRows);
    TaskQueues queues(static_cast<int64_t>(groups.size()) * parts, threads);
    at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
      for (int64_t thread = first; thread < last; ++thread) {
        thread_local Scratch<T> panel_memory;
        thread_local Scratch<float> block_memory;
        T* const packed = panel_memory.At(panels * abreast_ * static_cast<size_t>(depth * kPanel));
        float* const block = block_memory.At(abreast_ * static_cast<size_t>(shape_.rows * kPanel));
        int64_t held = -1;
        for (int64_t task; (task = queues.Take(static_cast<int>(thread))) >= 0;) {
          const int64_t of = task / parts;
          const std::vector<Panel>& group = groups[static_cast<size_t>(of)];
          if (of != held) Pack(group, begin, depth, packed);
          held = of;
          const int64_t end = std::min(rows_, (task % parts + 1) * kTaskRows);
          for (int64_t row = task % parts * kTaskRows; row < end; row += shape_.rows) {
            Blocks(group, {row, std::min(shape_.rows, end - row)}, begin, depth, packed, block);
          }
        }
        ReleaseBlocks<T>();
      }
    });
  }

  // Calls work(side, panel, place) for each panel of each side, counted from 0, with where it stands in
  // `packed`.
  template <class Work>
  void ForPanels(const std::vector<Panel>& group, int64_t depth, T* packed, const Work& work) const {
    for (const Panel& panel : group) {
      for (size_t s = 0; s < abreast_; ++s, packed += depth * kPanel) work(s, panel, packed);
    }
  }

  void Pack(const std::vector<Panel>& group, int64_t begin, int64_t depth, T* packed) const {
    ForPanels(group, depth, packed, [&](size_t which, const Panel& panel, T* to) {
      const Side& side = sides_[panel.first + which];
      const int64_t column = panel.column, columns = panel.columns;
      if (side.right.packed != nullptr) {
        for (int64_t c = 0; c < columns; c += PackedWeight::kPanel) {
          side.right.packed->Unpack((column + c) / PackedWeight::kPanel, begin, depth, to + c * kTogether);
        }
      } else if (side.right.turned) {
        kernels::PackTurned(side.w.At(column, begin), side.w.stride, columns, depth, to, kPanel);
      } else {
        kernels::PackStraight(side.w.At(begin, column), side.w.stride, columns, depth, to, kPanel);
      }
    });
  }

  struct RowRange {
    int64_t row, rows;
  };

  void Blocks(const std::vector<Panel>& group, RowRange range, int64_t begin, int64_t depth, T* packed,
              float* block) const {
    const bool ends = begin + depth == depth_;
    ForPanels(group, depth, packed, [&](size_t which, const Panel& panel, const T* right) {
      const Side& side = sides_[panel.first + which];
      float* const own = block + static_cast<int64_t>(which) * shape_.rows * kPanel;
      const Sums sums = SumsOf(side, range.row, panel.column, own);
      const int64_t step = panel.columns == kPanel ? shape_.columns : kUnit;
      for (int64_t done = 0; done < depth; done += kPiece) {
        for (int64_t c = 0; c < panel.columns; c += step) {
          MultiplyBlock(range.rows, std::min(step, panel.columns - c), std::min(kPiece, depth - done),
                        x_.At(range.row, begin + done), x_.stride, right + done * kPanel + c * kTogether,
                        kPanel, sums.data + c, sums.stride, /*add=*/begin + done > 0);
        }
      }
      if (!ends) return;
      if (gated_.data != nullptr) {
        if (which == 1) StoreGated(range, panel, block);
        return;
      }
      if (SumsInPlace() && side.bias == nullptr && side.residual.data == nullptr) return;
      kernels::StoreBlock(sums.data, sums.stride, range.rows, panel.columns, side.BiasAt(panel.column),
                          side.residual.At(range.row, panel.column), side.residual.stride,
                          side.y.At(range.row, panel.column), side.y.stride);
    });
    if (!ends || !finish_) return;
    const Panel& last = group.back();
    const int64_t column = group.front().column;
    finish_({range.row, range.rows, column, last.column + last.columns - column});
  }

  // Where the sums of a block stand.
  struct Sums {
    float* data;
    int64_t stride;
  };
  Sums SumsOf(const Side& side, int64_t row, int64_t column, float* block) const {
    if (side.sums.defined()) {
      const int64_t stride = side.sums.stride(0);
      return {side.sums.template mutable_data_ptr<float>() + row * stride + column, stride};
    }
    if constexpr (std::is_same_v<T, float>) {
      if (SumsInPlace()) return {side.y.At(row, column), side.y.stride};
    }
    return {block, kPanel};
  }

  void StoreGated(RowRange range, const Panel& panel, float* block) const {
    const Side &gate = sides_[0], &up = sides_[1];
    const Sums gates = SumsOf(gate, range.row, panel.column, block);
    const Sums ups = SumsOf(up, range.row, panel.column, block + shape_.rows * kPanel);
    for (int64_t r = 0; r < range.rows; ++r) {
      kernels::SwiGluOfSums(gates.data + r * gates.stride, ups.data + r * ups.stride,
                            gate.BiasAt(panel.column), up.BiasAt(panel.column),
                            gated_.At(range.row + r, panel.column), panel.columns);
    }
  }

  const FinishRange& finish_;
  const BlockShape shape_ = FastestBlock<T>();
  RowsOf<const T> x_;
  RowsOf<T> gated_;
  int64_t rows_, depth_;
  size_t abreast_;  // sides whose panels are multiplied one after the other, before `finish_`
  std::vector<Side> sides_;
};

}  // namespace

void FinishProduct(const at::Tensor& y, const ProductOptions& options) {
  if (options.bias.defined()) y.add_(options.bias);
  if (options.residual.defined()) y.add_(options.residual);
  if (!options.finish) return;
  at::parallel_for(0, y.size(0), 1, [&](int64_t begin, int64_t end) {
    options.finish({begin, end - begin, 0, y.size(1)});
  });
}

int64_t RightSide::depth() const { return packed != nullptr ? packed->columns() : w.size(turned ? 1 : 0); }
int64_t RightSide::columns() const { return packed != nullptr ? packed->rows() : w.size(turned ? 0 : 1); }

bool HasBlockedProducts(const at::Tensor& x) {
  return x.is_cpu() && x.size(0) >= kFewRows && MultipliesBlocksOf(x.scalar_type());
}

void ProductInto(const at::Tensor& x, const RightSide& right, const at::Tensor& y,
                 const ProductOptions& options) {
  const ProductPart part{right, y, options.bias, options.residual};
  ProductsInto(x, {&part, 1}, options.finish);
}

void ProductsInto(const at::Tensor& x, std::span<const ProductPart> parts, const FinishRange& finish) {
  bool packed = false;
  for (const ProductPart& part : parts) {
    Check(x, part.right, part.y);
    TORCH_CHECK(!finish || part.y.size(1) == parts.front().y.size(1), "products abreast must be as wide");
    packed = packed || part.right.packed != nullptr;
  }
  if (x.size(0) == 0) return;
  if (packed || HasBlockedProducts(x)) {
    if (x.scalar_type() == at::kFloat) return BlockedProducts<float>(x, parts, finish).Run();
    if (x.size(1) % 2 == 0) return BlockedProducts<BFloat16>(x, parts, finish).Run();
  }
  for (const ProductPart& part : parts) {
    at::Tensor out = part.y;
    at::mm_out(out, x, part.right.turned ? part.right.w.t() : part.right.w);
    const bool last = &part == &parts.back();
    FinishProduct(out,
                  {.bias = part.bias, .residual = part.residual, .finish = last ? finish : FinishRange()});
  }
}

void GatedProductInto(const at::Tensor& x, const ProductPart& gate, const ProductPart& up,
                      const at::Tensor& y) {
  const ProductPart parts[] = {gate, up};
  for (const ProductPart& part : parts) Check(x, part.right, y);
  if (x.size(0) == 0) return;
  const FinishRange none;
  if (x.scalar_type() == at::kFloat) return BlockedProducts<float>(x, parts, none, y).Run();
  BlockedProducts<BFloat16>(x, parts, none, y).Run();
}

}  // namespace genflow::nn
