// One thread for every operation: the models are tiny, and tests run beside each other.
#include <gtest/gtest.h>

#include "nn/device.h"

namespace genflow::nn {
namespace {

class OneThread : public testing::Environment {
 public:
  void SetUp() override { SetThreads(1); }
};
const auto* const kEnvironment = testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace
}  // namespace genflow::nn
