// The rows of a matrix as kernels read and write them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace genflow::nn {

// Of x [N, n], whose rows are dense and may stand apart, and which must outlive it; of an undefined tensor,
// null pointers. T is what x holds.
template <class T>
struct RowsOf {
  explicit RowsOf(const at::Tensor& x)
      : data(x.defined() ? static_cast<T*>(x.data_ptr()) : nullptr), stride(x.defined() ? x.stride(0) : 0) {}
  T* operator[](int64_t row) const { return data + row * stride; }
  T* At(int64_t row, int64_t column) const {
    return data == nullptr ? nullptr : data + row * stride + column;
  }
  T* data;
  int64_t stride;
};

}  // namespace genflow::nn
