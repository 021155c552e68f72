#include "data/stable_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace genflow::data {

uint64_t StableHash(std::string_view text, uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

}  // namespace genflow::data
