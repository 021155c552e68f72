// A hash that stays the same on every machine and in every version: splits and samples hang on it.
#pragma once

#include <cstdint>
#include <string_view>

namespace genflow::data {

// XXH3, 64 bits.
uint64_t StableHash(std::string_view text, uint64_t seed = 0);

}  // namespace genflow::data
