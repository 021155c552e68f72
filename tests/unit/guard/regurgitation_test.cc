#include "guard/regurgitation.h"

#include <gtest/gtest.h>

namespace genflow::guard {
namespace {

TEST(Regurgitation, FindsTheLongestRun) {
  RegurgitationIndex index({.words = 4, .common = 2});
  index.AddAnswer("Tell me", "It says: the quick brown fox jumps, over a lazy dog and more");
  index.AddAnswer("Tell me", "the quick brown cat");
  index.AddTrainingText("The Quick Brown Fox jumps over the lazy dog");
  index.AddTrainingText("brown fox jumps over a wall");
  EXPECT_EQ(index.LongestRun(0), "the quick brown fox jumps over a");
  EXPECT_EQ(index.LongestRun(1), std::nullopt);
}

TEST(Regurgitation, WhatThePromptHoldsDoesNotCount) {
  RegurgitationIndex index({.words = 3, .common = 1});
  index.AddAnswer("Say: one two three four", "one two three four");
  index.AddAnswer("Say: one two three", "one two three four");
  index.AddTrainingText("one two three four five");
  EXPECT_EQ(index.LongestRun(0), std::nullopt);
  EXPECT_EQ(index.LongestRun(1), "two three four");
}

TEST(Regurgitation, WhatManyTextsShareIsStyle) {
  RegurgitationIndex index({.words = 3, .common = 2});
  index.AddAnswer("", "in short it lists all files here");
  for (const char* name : {"a", "b", "c"}) index.AddTrainingText(std::string("in short it lists ") + name);
  EXPECT_EQ(index.LongestRun(0), std::nullopt);
  index.AddTrainingText("now lists all files here");
  EXPECT_EQ(index.LongestRun(0), "lists all files here");
}

TEST(Regurgitation, OneTextCountsOnce) {
  RegurgitationIndex index({.words = 2, .common = 1});
  index.AddAnswer("", "a b");
  index.AddTrainingText("a b a b a b");
  EXPECT_EQ(index.LongestRun(0), "a b");
}

TEST(PrefixSampler, SameChoiceInAnyOrder) {
  const auto sample = [](std::vector<int> order, uint64_t seed) {
    PrefixSampler sampler(3, 2, seed);
    for (const int i : order) {
      sampler.Offer("id" + std::to_string(i), "word" + std::to_string(i) + " two three\nfour");
    }
    std::vector<std::string> out;
    for (const auto& prefix : sampler.Take()) out.push_back(prefix.id + ":" + prefix.prompt);
    return out;
  };
  const auto first = sample({1, 2, 3, 4, 5, 6, 7, 8}, 1);
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(sample({8, 7, 6, 5, 4, 3, 2, 1}, 1), first);
  EXPECT_NE(sample({1, 2, 3, 4, 5, 6, 7, 8}, 2), first);
  for (const auto& item : first) EXPECT_EQ(item.substr(3), ":word" + item.substr(2, 1) + " two");
}

TEST(PrefixSampler, PassesOverShortTexts) {
  PrefixSampler sampler(3, 2, 0);
  sampler.Offer("short", "one two three");
  sampler.Offer("long", "  one  two three four");
  ASSERT_EQ(sampler.Take().size(), 1u);
  EXPECT_EQ(sampler.Take()[0].prompt, "one  two");
}

}  // namespace
}  // namespace genflow::guard
