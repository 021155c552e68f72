// Finds strings that someone else keeps, by their text.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

namespace genflow::text {

// Numbers of strings; what they say is asked of `at(number)`, the same in every call.
class StringIndex {
 public:
  // Room for `most` strings.
  explicit StringIndex(size_t most = 0) : slots_(std::bit_ceil(most * 2 + 2)) {}

  // The string that says `text`, or -1.
  template <class At>
  int32_t Find(std::string_view text, const At& at) const {
    return slots_[SlotOf(text, Hash(text), at)].number;
  }
  // Takes a string up; the number of an earlier one with the same text instead, where there is one, or -1.
  template <class At>
  int32_t Insert(int32_t number, const At& at) {
    const std::string_view text = at(number);
    const uint32_t hash = Hash(text);
    Slot& slot = slots_[SlotOf(text, hash, at)];
    if (slot.number >= 0) return slot.number;
    slot = {number, hash};
    return -1;
  }

 private:
  struct Slot {
    int32_t number = -1;
    uint32_t hash = 0;
  };
  static uint32_t Hash(std::string_view text) {
    return static_cast<uint32_t>(XXH3_64bits(text.data(), text.size()));
  }
  template <class At>
  size_t SlotOf(std::string_view text, uint32_t hash, const At& at) const {
    const size_t mask = slots_.size() - 1;
    size_t i = hash & mask;
    while (slots_[i].number >= 0 && (slots_[i].hash != hash || at(slots_[i].number) != text)) {
      i = (i + 1) & mask;
    }
    return i;
  }

  std::vector<Slot> slots_;  // open addressing
};

}  // namespace genflow::text
