#include "nn/brgemm.h"

#include <ATen/native/CPUBlas.h>

#include <exception>

#include "nn/device.h"

namespace genflow::nn {

using c10::BFloat16;

void MultiplyBlock(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                   float* c, int64_t ldc, bool add) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, /*is_vnni=*/false);
}

void MultiplyBlock(int64_t m, int64_t n, int64_t k, const BFloat16* a, int64_t lda, const BFloat16* b,
                   int64_t ldb, float* c, int64_t ldc, bool add) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, add, a, b, c, /*is_vnni=*/true);
}

template <>
BlockShape FastestBlock<float>() {
  return {64, 48};
}
template <>
BlockShape FastestBlock<BFloat16>() {
  static const bool tiles = __builtin_cpu_supports("amx-bf16") != 0;
  return tiles ? BlockShape{32, 144} : BlockShape{64, 48};
}

template <>
void ReleaseBlocks<float>() {
  at::native::cpublas::brgemm_release(/*is_vnni=*/false);
}
template <>
void ReleaseBlocks<BFloat16>() {
  at::native::cpublas::brgemm_release(/*is_vnni=*/true);
}

namespace {

// Asked by a product: what the library says of itself (could_pack) is of another one of its kernels, and
// where ONEDNN_MAX_CPU_ISA forbids this one it throws.
bool MultipliesPairs() {
  static const bool multiplies = [] {
    constexpr int64_t kSize = 16;
    BFloat16 a[kSize * kSize], b[kSize * kSize];
    float c[kSize * kSize];
    for (int64_t r = 0; r < kSize; ++r) {
      for (int64_t k = 0; k < kSize; ++k) {
        a[r * kSize + k] = static_cast<float>(r == k);                             // the unit matrix
        b[k / 2 * 2 * kSize + r * 2 + k % 2] = static_cast<float>(k * kSize + r);  // row k, column r
      }
    }
    try {
      MultiplyBlock(kSize, kSize, kSize, a, kSize, b, kSize, c, kSize, false);
      ReleaseBlocks<BFloat16>();
    } catch (const std::exception&) {
      return false;
    }
    for (int64_t i = 0; i < kSize * kSize; ++i) {
      if (c[i] != static_cast<float>(i)) return false;
    }
    return true;
  }();
  return multiplies;
}

}  // namespace

bool MultipliesBlocksOf(at::ScalarType type) {
  return type == at::kFloat || (type == at::kBFloat16 && MultipliesBf16() && MultipliesPairs());
}

}  // namespace genflow::nn
