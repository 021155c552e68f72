#include "base/strings.h"

#include <gtest/gtest.h>

#include "base/utf8.h"

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

TEST(Strings, KnowsUtf8) {
  EXPECT_EQ(Utf8CharLength(""), 0u);
  EXPECT_EQ(Utf8CharLength("ab"), 1u);
  EXPECT_EQ(Utf8CharLength("\xC3\xA9t\xC3\xA9"), 2u);
  EXPECT_EQ(Utf8CharLength("\xE2\x82\xAC"), 3u);
  EXPECT_EQ(Utf8CharLength("\xF0\x9F\x98\x80"), 4u);
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8(std::string_view("a\0\x7F", 3)));
  EXPECT_TRUE(IsUtf8("\xEF\xBF\xBF \xF4\x8F\xBF\xBF"));
  for (const char* bad :
       {"\x80", "\xFF", "a\xC3", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xE2\x28\xA1"}) {
    EXPECT_EQ(Utf8CharLength(std::string_view(bad).substr(bad[0] == 'a' ? 1 : 0)), 0u) << bad;
    EXPECT_FALSE(IsUtf8(bad)) << bad;
    EXPECT_FALSE(IsUtf8(std::string("eleven byte") + bad)) << bad;
  }
}

// What one U+FFFD replaces, and whether more bytes could make a character of it.
TEST(Strings, FindsThePartOfACharacter) {
  const auto first = [](const char* text) {
    const Utf8Char found = FirstUtf8Char(text);
    return std::to_string(found.length) + (found.valid ? " valid" : found.cut ? " cut" : " bad");
  };
  EXPECT_EQ(first("a\x80"), "1 valid");
  EXPECT_EQ(first("\xE2\x82\xAC!"), "3 valid");
  EXPECT_EQ(first("\xE2"), "1 cut");
  EXPECT_EQ(first("\xE2\x82"), "2 cut");
  EXPECT_EQ(first("\xF0\x9F\x98"), "3 cut");
  EXPECT_EQ(first("\xE2\x82!"), "2 bad");
  EXPECT_EQ(first("\xE2!"), "1 bad");
  EXPECT_EQ(first("\xED\xA0\x80"), "1 bad") << "a surrogate";
  EXPECT_EQ(first("\x80"), "1 bad");
  EXPECT_EQ(AsciiLength("twelve bytes"), 12u);
  EXPECT_EQ(AsciiLength("and then \xC3\xA9"), 9u);
  EXPECT_EQ(AsciiLength(""), 0u);
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
