#include "nn/page_arena.h"

#include <thread>

#include "fixtures.h"

namespace genflow::nn {
namespace {

constexpr int64_t kLarge = 1 << 20;  // numbers; 4 MB

TEST(PageArena, GivesWhatWasFreedAgain) {
  UsePageArena();
  UsePageArena();
  at::Tensor first = at::empty({kLarge}), second = at::empty({kLarge});
  const void* const place = first.const_data_ptr();
  first.reset();
  const at::Tensor third = at::empty({kLarge});
  EXPECT_EQ(third.const_data_ptr(), place) << "the pages that are there are used before others are touched";
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second.const_data_ptr()) % 64, 0u);
}

TEST(PageArena, BlocksNeverOverlap) {
  UsePageArena();
  at::manual_seed(3);
  std::vector<std::pair<at::Tensor, float>> held;
  for (int i = 0; i < 400; ++i) {
    const at::Tensor size = at::randint(1, 300000, {1}, at::kLong);
    held.emplace_back(at::full({size.item<int64_t>()}, i), static_cast<float>(i));
    if (held.size() <= 20) continue;
    const auto victim = static_cast<size_t>((i * 7) % 20);
    EXPECT_TRUE(held[victim].first.eq(held[victim].second).all().item<bool>());
    held.erase(held.begin() + static_cast<std::ptrdiff_t>(victim));
  }
  for (const auto& [tensor, value] : held) EXPECT_TRUE(tensor.eq(value).all().item<bool>());
}

TEST(PageArena, TakesMoreThanOneRegionAndWhatCameBeforeIt) {
  at::Tensor before = at::ones({kLarge});
  UsePageArena();
  before.reset();
  std::vector<at::Tensor> held;
  for (int i = 0; i < 3; ++i) held.push_back(at::empty({50 * kLarge}));  // 200 MB each, untouched
  for (size_t i = 0; i < held.size(); ++i) held[i][0] = static_cast<float>(i);
  for (size_t i = 0; i < held.size(); ++i) EXPECT_EQ(held[i][0].item<float>(), static_cast<float>(i));
}

TEST(PageArena, TakesWhatAnotherThreadFrees) {
  UsePageArena();
  for (int i = 0; i < 50; ++i) {
    at::Tensor tensor = at::full({kLarge / 8}, i);
    std::thread([moved = std::move(tensor), i]() mutable {
      EXPECT_EQ(moved[5].item<int>(), i);
      moved.reset();
    }).join();
  }
}

TEST(PageArena, TooMuchIsTheSameErrorAsWithoutIt) {
  UsePageArena();
  EXPECT_THROW(at::empty({int64_t{1} << 46}), c10::Error);
}

}  // namespace
}  // namespace genflow::nn
