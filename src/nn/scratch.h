// Memory that a thread works in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace genflow::nn {

// Grows, and is kept from one use to the next. It begins on a cache line wherever it stands: loops that sum
// in vectors first bring what they write to a boundary of those, so that sums would be rounded in another
// order with every other place.
template <class T>
class Scratch {
 public:
  // At least `size` elements; when it has grown, zeros.
  T* At(size_t size) {
    if (size > size_) {
      memory_.reset(static_cast<T*>(::operator new(size * sizeof(T), kLine)));
      std::fill_n(memory_.get(), size, T{});
      size_ = size;
    }
    return memory_.get();
  }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Free {
    void operator()(T* memory) const { ::operator delete(memory, kLine); }
  };
  std::unique_ptr<T, Free> memory_;
  size_t size_ = 0;
};

}  // namespace genflow::nn
