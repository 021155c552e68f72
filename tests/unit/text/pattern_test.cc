#include "text/pattern.h"

#include <gtest/gtest.h>

namespace genflow::text {
namespace {

TEST(Pattern, FindsAndRefuses) {
  const auto pattern = Pattern::Compile("caf(é|e)\\b", {.ignore_case = true});
  ASSERT_TRUE(pattern.ok());
  const auto match = pattern->Find("un CAFÉ noir").value();
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->begin, 3u);
  EXPECT_EQ(match->end, 8u);
  EXPECT_FALSE(pattern->Find("un CAFÉ noir", 4).value().has_value());
  EXPECT_FALSE(pattern->Find("caf\xff").value().has_value());
  EXPECT_EQ(Pattern::Compile("a(b").error().message,
            "regular expression, column 4: missing closing parenthesis\n    a(b\n       ^");
}

TEST(Pattern, RunawayBacktrackingIsAnError) {
  const auto found = Pattern::Compile("^(a+)+$")->Find(std::string(40, 'a') + "b");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().ToString(),
            "regular expression '^(a+)+$': match limit exceeded\n"
            "  hint: nested repeats such as (a+)+ take forever: write it without");
}

TEST(Pattern, LiteralWholeAndOffsets) {
  const auto literal = Pattern::Compile("a.b", {.ignore_case = true, .literal = true}).value();
  EXPECT_FALSE(literal.Find("axb").value().has_value());
  EXPECT_EQ(literal.Find("é A.B").value()->begin, 3u);
  const auto whole = Pattern::Compile("a|ab", {.whole = true}).value();
  EXPECT_EQ(whole.Find("ab").value()->end, 2u) << "the second choice, where the first does not reach the end";
  EXPECT_FALSE(whole.Find("abc").value().has_value());
  EXPECT_FALSE(whole.Find("ab\n").value().has_value());
  const auto word = Pattern::Compile("\\w+", {.valid_utf8 = true}).value();
  EXPECT_EQ(word.Find("né où", 4).value()->end, 7u);
}

// More than the just-in-time code's stack holds, and more than a bound allows.
TEST(Pattern, LongMatches) {
  const std::string subject = "<" + std::string(200'000, 'x') + ">";
  const auto nested = Pattern::Compile("<(?:[^-]|-(?!>))*[>|]").value();
  EXPECT_EQ(nested.Find(subject).value()->end, subject.size());
  const auto bounded = nested.Find("<" + std::string(1'200'000, 'x'));
  ASSERT_FALSE(bounded.ok());
  EXPECT_EQ(bounded.error().code, Code::kExhausted);
  EXPECT_EQ(bounded.error().hint, "nested repeats such as (a+)+ take forever: write it without");
  const auto unbounded = Pattern::Compile("^(a+)+$", {.bounded = false}).value();
  EXPECT_FALSE(unbounded.Find(std::string(22, 'a') + "b").value().has_value());
}

}  // namespace
}  // namespace genflow::text
