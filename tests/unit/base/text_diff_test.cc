#include "base/text_diff.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

std::string Shown(std::string_view before, std::string_view after, size_t context = 1) {
  std::string out;
  for (const auto& line : LineDiff(before, after, context))
    out += static_cast<char>(line.kind) + line.text + "\n";
  return out;
}

TEST(LineDiff, EqualTextsGiveNothing) {
  EXPECT_EQ(Shown("a\nb\n", "a\nb\n"), "");
  EXPECT_EQ(Shown("a\nb", "a\nb\n"), "") << "the last line break does not count";
  EXPECT_EQ(Shown("", ""), "");
}

TEST(LineDiff, ShowsWhatChangedWithItsNeighbours) {
  EXPECT_EQ(Shown("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nfour\n5\n6\n"), "~2\n 3\n-4\n+four\n 5\n~1\n");
  EXPECT_EQ(Shown("1\n2\n3\n4\n5\n6\n", "1\n2\n3\nfour\n5\n6\n", 0), "~3\n-4\n+four\n~2\n");
}

TEST(LineDiff, FindsTheShortestEdit) {
  EXPECT_EQ(Shown("a\nb\nc\nd\n", "b\nc\nx\nd\ne\n", 9), "-a\n b\n c\n+x\n d\n+e\n");
  EXPECT_EQ(Shown("", "a\nb\n"), "+a\n+b\n");
  EXPECT_EQ(Shown("a\nb\n", ""), "-a\n-b\n");
}

TEST(LineDiff, RepeatedLinesAreNotTakenTwice) {
  EXPECT_EQ(Shown("x\nx\n", "x\n"), " x\n-x\n");
  EXPECT_EQ(Shown("x\n", "x\nx\nx\n"), " x\n+x\n+x\n");
}

TEST(LineDiff, LongTextsAreTakenAsBlocks) {
  std::string before, after;
  for (int i = 0; i < 3000; ++i) {
    before += "old " + std::to_string(i) + "\n";
    after += "new " + std::to_string(i) + "\n";
  }
  const auto lines = LineDiff("head\n" + before, "head\n" + after, 1);
  ASSERT_EQ(lines.size(), 6001u);
  EXPECT_EQ(lines[0], (DiffLine{DiffLine::Kind::kSame, "head"}));
  EXPECT_EQ(lines[3000], (DiffLine{DiffLine::Kind::kRemoved, "old 2999"}));
  EXPECT_EQ(lines[3001], (DiffLine{DiffLine::Kind::kAdded, "new 0"}));
}

}  // namespace
}  // namespace genflow
