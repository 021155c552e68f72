#include "store/hashing.h"

#include <gtest/gtest.h>

#include <atomic>

#include "testing/no_threads.h"

namespace genflow {
namespace {

// Counts the calls; those from `fails` on are errors that name their number.
Status Count(size_t count, size_t fails, std::atomic<size_t>& calls) {
  return ParallelFor(count, 4, [&](size_t i) -> Status {
    calls += i < fails ? 1 : 0;
    return i < fails ? Ok() : MakeError(Code::kIo, std::to_string(i));
  });
}

TEST(ParallelFor, CallsEachOnce) {
  std::atomic<size_t> calls{0};
  EXPECT_TRUE(Count(100, 100, calls).ok());
  EXPECT_EQ(calls, 100u);
}

TEST(ParallelFor, GivesTheFirstError) {
  std::atomic<size_t> calls{0};
  EXPECT_EQ(Count(100, 30, calls).error().message, "30");
  EXPECT_EQ(calls, 30u);
}

TEST(ParallelFor, DoesTheWorkWhereThereAreNoMoreThreads) {
  const NoThreads no_threads;
  std::atomic<size_t> calls{0};
  EXPECT_TRUE(Count(100, 100, calls).ok());
  EXPECT_EQ(calls, 100u);
  EXPECT_EQ(Count(100, 30, calls).error().message, "30");
}

}  // namespace
}  // namespace genflow
