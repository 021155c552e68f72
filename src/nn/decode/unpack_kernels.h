// Packed weights back to numbers, laid out as products in blocks multiply them (product_kernels.h). Chosen at
// run time for the instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace genflow::nn::kernels {

// Sixteen columns of a panel of a product, from `blocks` blocks of a packed panel's rows: the same numbers to
// the bit that dequantising makes, rounded once to T. Of bf16 each two rows are interleaved.
template <class Layout>
void UnpackBlocks(const uint8_t* from, int64_t blocks, float* to);
template <class Layout>
void UnpackBlocks(const uint8_t* from, int64_t blocks, c10::BFloat16* to);

}  // namespace genflow::nn::kernels
