// Small products in registers and the first cache, by oneDNN's batch-reduce kernels as libtorch hands them
// on.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace genflow::nn {

// c [m, n] fp32 = a [m, k] b [k, n], or is added to if `add`. A bf16 b has each two rows interleaved, and k
// is even then. Kernels are made at the first call with a shape, and kept by each thread.
void MultiplyBlock(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                   float* c, int64_t ldc, bool add);
void MultiplyBlock(int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda,
                   const c10::BFloat16* b, int64_t ldb, float* c, int64_t ldc, bool add);

// What is multiplied fastest at a time: of bf16 with tiles (AMX), two by nine of those; else as many columns
// as three registers hold.
struct BlockShape {
  int64_t rows, columns;
};
template <class T>
BlockShape FastestBlock();

// Of a depth that is no multiple of this, bf16 leaves a remainder that tiles are set up anew for, twice a
// block.
inline constexpr int64_t kTileDepth = 32;

// What a thread that has multiplied blocks of T must call before it does anything else: the processor's tiles
// are set up for them.
template <class T>
void ReleaseBlocks();

// Whether blocks of this type are multiplied here: of fp32, and of bf16 where the processor and the library
// do.
bool MultipliesBlocksOf(at::ScalarType type);

}  // namespace genflow::nn
