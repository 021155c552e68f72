#include "faults/asked.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace genflow {

namespace {

Asked& TheAsked() {
  static Asked asked;
  return asked;
}

}  // namespace

const Asked& WasAsked() { return TheAsked(); }

}  // namespace genflow

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--count") genflow::TheAsked().count = std::atoi(argv[i + 1]);
    if (name == "--seed") genflow::TheAsked().seed = static_cast<unsigned>(std::atoi(argv[i + 1]));
  }
  return RUN_ALL_TESTS();
}
