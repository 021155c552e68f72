#include "eval/text_metrics.h"

#include <gtest/gtest.h>

namespace genflow::eval {
namespace {

TEST(TextMetrics, Words) {
  EXPECT_EQ(Words("Don't list-Files, 2nd\tÜber!"),
            (std::vector<std::string>{"don", "t", "list", "files", "2nd", "Über"}));
  EXPECT_TRUE(Words(" .,").empty());
}

TEST(TextMetrics, ExactMatchIgnoresWhiteSpaceAlone) {
  EXPECT_TRUE(ExactMatch("  a  b\n", "a b"));
  EXPECT_FALSE(ExactMatch("a b", "A b"));
  EXPECT_FALSE(ExactMatch("ab", "a b"));
}

TEST(TextMetrics, PrefixMatch) {
  EXPECT_DOUBLE_EQ(PrefixMatch("List the files.", "list the directory contents"), 0.5);
  EXPECT_DOUBLE_EQ(PrefixMatch("list the directory contents and more", "list the directory contents"), 1);
  EXPECT_DOUBLE_EQ(PrefixMatch("", "list"), 0);
  EXPECT_DOUBLE_EQ(PrefixMatch("", ""), 1);
}

// By hand: precision 3/4 and recall 3/5 in the first pair; then the example of Lin 2004, section 3.1, whose
// subsequences are "police the gunman" and "the gunman".
TEST(TextMetrics, RougeL) {
  EXPECT_DOUBLE_EQ(RougeL("the cat sat down", "the cat sat on it"), 2 * 3.0 / 9);
  EXPECT_DOUBLE_EQ(RougeL("police killed the gunman", "police ended the gunman"), 0.75);
  EXPECT_DOUBLE_EQ(RougeL("the gunman police killed", "police killed the gunman"), 0.5);
  EXPECT_DOUBLE_EQ(RougeL("", "a"), 0);
  EXPECT_DOUBLE_EQ(RougeL("", "..."), 0);
  EXPECT_DOUBLE_EQ(RougeL("same", "Same."), 1);
}

TEST(TextMetrics, TokenF1CountsRepeats) {
  EXPECT_DOUBLE_EQ(TokenF1("a a b", "a b c"), 2 * 2.0 / 6);
  EXPECT_DOUBLE_EQ(TokenF1("b a", "a b"), 1);
  EXPECT_DOUBLE_EQ(TokenF1("x", ""), 0);
}

}  // namespace
}  // namespace genflow::eval
