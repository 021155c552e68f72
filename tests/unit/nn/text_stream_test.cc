#include "nn/text_stream.h"

#include <gtest/gtest.h>

namespace genflow::nn {
namespace {

const std::vector<std::string> kNone;

TEST(TextStream, WholeCharactersOnly) {
  TextStream stream(&kNone);
  EXPECT_FALSE(stream.Append("a\xE2\x82"));
  EXPECT_EQ(stream.Take(), "a");
  EXPECT_FALSE(stream.Append("\xAC"));
  EXPECT_EQ(stream.Take(), "\xE2\x82\xAC");
  EXPECT_EQ(stream.Take(), "");
  stream.Finish();
  EXPECT_EQ(stream.text(), "a\xE2\x82\xAC");
}

TEST(TextStream, InvalidBytesBecomeReplacementCharacters) {
  TextStream stream(&kNone);
  // As Python's bytes.decode("utf-8", "replace"): one a maximal valid beginning.
  stream.Append("x\xFFy\xC3(\xE2\x82z\xED\xA0\x80");
  stream.Finish();
  EXPECT_EQ(stream.text(), "x\uFFFDy\uFFFD(\uFFFDz\uFFFD\uFFFD\uFFFD");
}

TEST(TextStream, ACharacterCutShortAtTheEnd) {
  TextStream stream(&kNone);
  stream.Append("ok\xF0\x9F\x9A");
  EXPECT_EQ(stream.Take(), "ok");
  stream.Finish();
  EXPECT_EQ(stream.Take(), "\uFFFD");
}

TEST(TextStream, StopsWhereTheStringBegins) {
  const std::vector<std::string> stops = {"", "\nUser:"};
  TextStream stream(&stops);
  EXPECT_FALSE(stream.Append("Hello\nUs"));
  EXPECT_EQ(stream.Take(), "Hello");
  EXPECT_FALSE(stream.Append("e"));
  EXPECT_EQ(stream.Take(), "");
  EXPECT_TRUE(stream.Append("r: hi"));
  EXPECT_EQ(stream.Take(), "");
  EXPECT_EQ(stream.text(), "Hello");
  EXPECT_TRUE(stream.Append("more"));
  stream.Finish();
  EXPECT_EQ(stream.text(), "Hello");
}

TEST(TextStream, HeldTextComesOutWhenItIsNoStop) {
  const std::vector<std::string> stops = {"END"};
  TextStream stream(&stops);
  EXPECT_FALSE(stream.Append("the EN"));
  EXPECT_EQ(stream.Take(), "the ");
  EXPECT_FALSE(stream.Append("ERGY"));
  EXPECT_EQ(stream.Take(), "ENERGY");
  EXPECT_FALSE(stream.Append(" E"));
  EXPECT_EQ(stream.Take(), " ");
  stream.Finish();
  EXPECT_EQ(stream.Take(), "E");
}

TEST(TextStream, TheEarliestOfSeveralStops) {
  const std::vector<std::string> stops = {"cd", "bcd"};
  TextStream stream(&stops);
  EXPECT_TRUE(stream.Append("abcde"));
  EXPECT_EQ(stream.text(), "a");
}

}  // namespace
}  // namespace genflow::nn
