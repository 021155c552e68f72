// A process that gets no more threads, as one at a limit of the system.
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstddef>

namespace genflow {

// While it exists no thread can be started: each would need a stack larger than the address space.
class NoThreads {
 public:
  NoThreads() {
    pthread_attr_t attributes;
    EXPECT_EQ(::pthread_getattr_default_np(&attributes), 0);
    EXPECT_EQ(::pthread_attr_getstacksize(&attributes, &before_), 0);
    EXPECT_EQ(::pthread_attr_destroy(&attributes), 0);
    Set(size_t{1} << 50);
  }
  ~NoThreads() { Set(before_); }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  static void Set(size_t bytes) {
    pthread_attr_t attributes;
    EXPECT_EQ(::pthread_attr_init(&attributes), 0);
    EXPECT_EQ(::pthread_attr_setstacksize(&attributes, bytes), 0);
    EXPECT_EQ(::pthread_setattr_default_np(&attributes), 0);
    EXPECT_EQ(::pthread_attr_destroy(&attributes), 0);
  }

  size_t before_ = 0;
};

}  // namespace genflow
