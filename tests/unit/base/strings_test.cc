#include "base/strings.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

TEST(Strings, SplitsAndTrims) {
  EXPECT_EQ(Split("a,,b", ',').size(), 3u);
  EXPECT_EQ(Split("", ',').size(), 1u);
  EXPECT_EQ(Trim(" \t x y\n"), "x y");
  EXPECT_EQ(Trim(" \n"), "");
}

TEST(Strings, NearestNameFindsTyposAndDroppedPrefixes) {
  const std::vector<std::string> names = {"train.lora", "data.read", "eval.perplexity"};
  EXPECT_EQ(NearestName("train.loar", names), "train.lora");
  EXPECT_EQ(NearestName("perplexity", names), "eval.perplexity");
  EXPECT_EQ(NearestName("quantum", names), std::nullopt);
  EXPECT_EQ(NearestName("nmae", {"name", "params"}), "name");
  EXPECT_EQ(EditDistance("abcd", "badc"), 2u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
}

TEST(Strings, HumanUnits) {
  EXPECT_EQ(HumanBytes(532), "532 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanDuration(0.0124), "12 ms");
  EXPECT_EQ(HumanDuration(3.44), "3.4 s");
  EXPECT_EQ(HumanDuration(125), "2m 05s");
  EXPECT_EQ(HumanDuration(3720), "1h 02m");
  EXPECT_EQ(WithCommas(-1234567), "-1,234,567");
  EXPECT_EQ(WithCommas(12), "12");
}

TEST(Strings, ParsesSizesAndDurations) {
  EXPECT_EQ(ParseBytes("8G"), 8ull << 30);
  EXPECT_EQ(ParseBytes("1.5GiB"), 3ull << 29);
  EXPECT_EQ(ParseBytes("100"), 100u);
  EXPECT_EQ(ParseBytes("8Q"), std::nullopt);
  EXPECT_EQ(ParseBytes("-1"), std::nullopt);
  EXPECT_EQ(ParseDuration("1h30m"), 5400);
  EXPECT_EQ(ParseDuration("500ms"), 0.5);
  EXPECT_EQ(ParseDuration("45"), 45);
  EXPECT_EQ(ParseDuration("soon"), std::nullopt);
  EXPECT_EQ(ParseDuration(""), std::nullopt);
  EXPECT_DOUBLE_EQ(*ParseDuration("2d1h1m1s1ms"), 176461.001);
  EXPECT_EQ(ParseDuration("1h30"), std::nullopt);
  EXPECT_EQ(ParseDuration("1m1h"), std::nullopt);
  EXPECT_EQ(ParseDuration("1m1m"), std::nullopt);
}

}  // namespace
}  // namespace genflow
