#include "config/glob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "testing/scratch.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(GlobMatch, WithinOneName) {
  EXPECT_TRUE(GlobMatch("*.jsonl", "a.jsonl"));
  EXPECT_FALSE(GlobMatch("*.jsonl", "a/b.jsonl"));
  EXPECT_TRUE(GlobMatch("part-?.txt", "part-é.txt"));
  EXPECT_TRUE(GlobMatch("[a-c]x", "bx"));
  EXPECT_FALSE(GlobMatch("[!a-c]x", "bx"));
  EXPECT_TRUE(GlobMatch("[]]", "]"));
  EXPECT_TRUE(GlobMatch("a\\*", "a*"));
  EXPECT_FALSE(GlobMatch("a\\*", "ab"));
  EXPECT_TRUE(GlobMatch("[a", "[a"));
  EXPECT_TRUE(GlobMatch("*a*b*c", "xxaxxbxxc"));
  EXPECT_FALSE(GlobMatch("*a*b*c", "xxaxxbxx"));
}

TEST(GlobMatch, AcrossFolders) {
  EXPECT_TRUE(GlobMatch("**/x.py", "x.py"));
  EXPECT_TRUE(GlobMatch("**/x.py", "a/b/x.py"));
  EXPECT_TRUE(GlobMatch("src/**", "src/a/b"));
  EXPECT_TRUE(GlobMatch("a/**/b/**/c", "a/x/b/y/z/c"));
  EXPECT_FALSE(GlobMatch("a/**/b", "a/x/c"));
  EXPECT_TRUE(GlobMatch("./a//b", "a/b"));
  EXPECT_FALSE(GlobMatch("/a", "a"));
}

TEST(GlobMatch, HiddenNamesAreAskedForByName) {
  EXPECT_FALSE(GlobMatch("*", ".git"));
  EXPECT_FALSE(GlobMatch("**", ".git/config"));
  EXPECT_TRUE(GlobMatch(".*", ".git"));
}

TEST(GlobMatch, Alternatives) {
  EXPECT_TRUE(GlobMatch("*.{py,cc}", "x.cc"));
  EXPECT_TRUE(GlobMatch("{a,b{1,2}}/c", "b2/c"));
  EXPECT_FALSE(GlobMatch("{a,b}/c", "c/c"));
  EXPECT_FALSE(GlobMatch("{a", "a"));
}

TEST(GlobMatch, HardPatternsEndQuickly) {
  std::string pattern, name(200, 'a');
  for (int i = 0; i < 60; ++i) pattern += "a*";
  EXPECT_FALSE(GlobMatch(pattern + "b", name));
}

struct ExpandGlobTest : ::testing::Test {
  void SetUp() override {
    for (const char* file : {"b.txt", "a.txt", "data/1.jsonl", "data/2.jsonl", "data/deep/3.jsonl",
                             "data/.hidden", ".x/y.txt", "odd [1].txt"}) {
      fs::create_directories((root / file).parent_path());
      std::ofstream(root / file) << file;
    }
  }
  std::vector<std::string> Expand(std::string_view pattern) {
    auto found = ExpandGlob(root, pattern);
    const auto first = FirstGlobMatch(root, pattern);
    EXPECT_EQ(first.ok(), found.ok());
    if (found.ok() && first.ok()) {
      EXPECT_EQ(first->size(), std::min<size_t>(found->size(), 1));
      for (const auto& one : *first) EXPECT_THAT(*found, ::testing::Contains(one));
    }
    return found.ok() ? *found : std::vector<std::string>{"error: " + found.error().message};
  }
  const ScratchFolder scratch;
  const fs::path root = scratch.path();
};

TEST_F(ExpandGlobTest, GivesSortedRelativeNames) {
  EXPECT_THAT(Expand("*.txt"), ElementsAre("a.txt", "b.txt", "odd [1].txt"));
  EXPECT_THAT(Expand("data/*.jsonl"), ElementsAre("data/1.jsonl", "data/2.jsonl"));
  EXPECT_THAT(Expand("**/*.jsonl"), ElementsAre("data/1.jsonl", "data/2.jsonl", "data/deep/3.jsonl"));
  EXPECT_THAT(Expand("{b,a,b}.txt"), ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(Expand("a.txt"), ElementsAre("a.txt"));
  EXPECT_THAT(Expand("odd \\[1\\].txt"), ElementsAre("odd [1].txt"));
  EXPECT_THAT(Expand("data/../a.txt"), ElementsAre("data/../a.txt"));
}

TEST_F(ExpandGlobTest, AFolderStandsForItsFiles) {
  EXPECT_THAT(Expand("data"), ElementsAre("data/1.jsonl", "data/2.jsonl", "data/deep/3.jsonl"));
  EXPECT_THAT(Expand("d*"), ElementsAre("data/1.jsonl", "data/2.jsonl", "data/deep/3.jsonl"));
  EXPECT_THAT(Expand(".x/"), ElementsAre(".x/y.txt"));
}

TEST_F(ExpandGlobTest, AbsolutePatternsGiveAbsoluteNames) {
  EXPECT_THAT(Expand((root / "*.jsonl").string()), IsEmpty());
  EXPECT_THAT(Expand((root / "data/1*").string()), ElementsAre((root / "data/1.jsonl").string()));
}

TEST_F(ExpandGlobTest, NothingIsAnEmptyListAndMalformedIsAnError) {
  EXPECT_THAT(Expand("*.csv"), IsEmpty());
  EXPECT_THAT(Expand("nowhere/*"), IsEmpty());
  EXPECT_THAT(Expand("a.txt/*"), IsEmpty());
  EXPECT_THAT(Expand("{a"),
              ElementsAre("error: the pattern '{a' has a '{' without '}', or more than 1000 alternatives"));
}

TEST_F(ExpandGlobTest, LinkedFoldersDoNotLoop) {
  fs::create_directory_symlink("..", root / "data/up");
  fs::create_symlink("1.jsonl", root / "data/link.jsonl");
  EXPECT_THAT(Expand("**/*.jsonl"),
              ElementsAre("data/1.jsonl", "data/2.jsonl", "data/deep/3.jsonl", "data/link.jsonl"));
}

}  // namespace
}  // namespace genflow
