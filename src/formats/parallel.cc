#include "formats/parallel.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace genflow::formats {

Status InParallel(size_t count, int threads, const std::function<Status(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  Status first_error;
  const auto guarded = [&](size_t i) -> Status {
    try {
      return work(i);
    } catch (const std::bad_alloc&) {  // which must not leave a helper thread
      return MakeError(Code::kExhausted, "out of memory");
    }
  };
  const auto loop = [&] {
    for (size_t i = next++; i < count; i = next++) {
      if (auto status = guarded(i); !status.ok()) {
        const std::lock_guard lock(mutex);
        if (first_error.ok()) first_error = std::move(status);
        next = count;
      }
    }
  };
  const size_t cores =
      threads > 0 ? static_cast<size_t>(threads) : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> helpers;
  try {
    for (size_t i = 1; i < std::min(cores, count); ++i) helpers.emplace_back(loop);
  } catch (const std::system_error&) {  // no more threads to be had: those that run do the work
  }
  loop();
  for (auto& helper : helpers) helper.join();
  return first_error;
}

}  // namespace genflow::formats
