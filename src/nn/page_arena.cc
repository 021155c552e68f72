#include "nn/page_arena.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace genflow::nn {
namespace {

constexpr size_t kHugePage = 2u << 20;
constexpr size_t kRegion = 256u << 20;    // what is taken from the system at least
constexpr size_t kReserved = 1ull << 40;  // addresses
constexpr size_t kSmallest = 64u << 10;   // smaller tensors are malloc's
constexpr size_t kLine = 64;              // of the cache; blocks begin on one

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// Best fit, the lowest address among equals, neighbours merged.
class PageArena final : public c10::Allocator {
 public:
  explicit PageArena(c10::Allocator* small) : small_(small) {}

  c10::DataPtr allocate(size_t size) override {
    if (size < kSmallest) return small_->allocate(size);
    char* const block = Take(RoundUp(size, kLine));
    if (block == nullptr) return small_->allocate(size);  // says why there is no memory
    return {block, block, &PageArena::Free, c10::Device(c10::kCPU)};
  }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }

  // For those who keep the pointer alone (oneDNN's scratchpads).
  c10::DeleterFnPtr raw_deleter() const override { return &PageArena::Free; }

  // Lives as long as the process: tensors may be freed after main.
  static PageArena*& Instance() {
    static PageArena* instance = nullptr;
    return instance;
  }

 private:
  using Block = std::pair<size_t, char*>;  // size, address

  // Takes what either of the two gave.
  static void Free(void* block) {
    if (block != nullptr && !Instance()->Give(static_cast<char*>(block)))
      Instance()->small_->raw_deallocate(block);
  }

  char* Take(size_t size) {
    const std::lock_guard lock(mutex_);
    auto found = by_size_.lower_bound({size, nullptr});
    if (found == by_size_.end()) {
      if (!Grow(size)) return nullptr;
      found = by_size_.lower_bound({size, nullptr});
    }
    const auto [held, address] = *found;
    by_size_.erase(found);
    free_.erase(address);
    if (held > size) Insert(address + size, held - size);
    used_.emplace(address, size);
    return address;
  }

  // False where the block is none of its own.
  bool Give(char* address) {
    const std::lock_guard lock(mutex_);
    return GiveLocked(address);
  }

  bool GiveLocked(char* address) {
    const auto used = used_.find(address);
    if (used == used_.end()) return false;
    size_t size = used->second;
    used_.erase(used);
    auto next = free_.lower_bound(address);
    if (next != free_.end() && address + size == next->first) {
      size += next->second;
      by_size_.erase({next->second, next->first});
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == address) {
        address = before->first;
        size += before->second;
        by_size_.erase({before->second, before->first});
        free_.erase(before);
      }
    }
    Insert(address, size);
    return true;
  }

  void Insert(char* address, size_t size) {
    free_.emplace(address, size);
    by_size_.emplace(size, address);
  }

  // Addresses are reserved far ahead, so that what is added borders on what is there, and no tensor needs to
  // fit into a region of its own.
  bool Grow(size_t size) {
    const size_t bytes = RoundUp(std::max(size, kRegion), kHugePage);
    if (static_cast<size_t>(end_ - next_) < bytes && !Reserve(std::max(bytes + kHugePage, kReserved)) &&
        !Reserve(bytes + kHugePage))
      return false;
    if (mprotect(next_, bytes, PROT_READ | PROT_WRITE) != 0) return false;
    madvise(next_, bytes, MADV_HUGEPAGE);  // without it everything is only slower
    used_.emplace(next_, bytes);
    char* const added = std::exchange(next_, next_ + bytes);
    return GiveLocked(added);
  }

  // Addresses without memory.
  bool Reserve(size_t bytes) {
    void* const range = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) return false;
    const auto start = reinterpret_cast<uintptr_t>(range);
    next_ = static_cast<char*>(range) + (RoundUp(start, kHugePage) - start);
    end_ = static_cast<char*>(range) + bytes;
    return true;
  }

  c10::Allocator* small_;
  std::mutex mutex_;
  char *next_ = nullptr, *end_ = nullptr;  // of the addresses reserved, those not taken yet
  std::map<char*, size_t> free_;
  std::set<Block> by_size_;
  std::unordered_map<char*, size_t> used_;
};

}  // namespace

void UsePageArena() {
  static std::once_flag once;
  std::call_once(once, [] {
    PageArena::Instance() = new PageArena(c10::GetCPUAllocator());
    c10::SetCPUAllocator(PageArena::Instance(), /*priority=*/1);
  });
}

}  // namespace genflow::nn
