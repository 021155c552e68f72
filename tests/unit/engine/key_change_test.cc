#include "engine/key_change.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

using nlohmann::json;
using Lines = std::vector<std::string>;

const std::string kDigestA(64, 'a'), kDigestB(64, 'b'), kDigestC(64, 'c');

Lines InFull(const json& before, const json& after, size_t width = 60, size_t names = 3) {
  return DescribeInFull(CompareKeys(before.dump(), after.dump()), width, names);
}

TEST(KeyChangeInFull, DigestsAreCutToTwelveCharacters) {
  const json before = {
      {"stage", "a.b"},
      {"plugin", kDigestA},
      {"inputs", {{"data", {kDigestA}}, {"many", {kDigestA, kDigestB}}, {"old", {kDigestC}}}},
      {"files", {{"path", {{"", kDigestA}}}, {"files", {{"x.txt", kDigestA}}}}}};
  const json after = {{"stage", "a.b"},
                      {"plugin", kDigestB},
                      {"inputs", {{"data", {kDigestB}}, {"many", {kDigestA}}, {"new", {kDigestC}}}},
                      {"files", {{"path", {{"", kDigestB}}}, {"files", {{"y.txt", kDigestB}}}}}};
  EXPECT_EQ(InFull(before, after, 72, 9),
            (Lines{"plugin of 'a.b' changed: aaaaaaaaaaaa -> bbbbbbbbbbbb",
                   "input 'data' changed: aaaaaaaaaaaa -> bbbbbbbbbbbb",
                   "input 'many' changed: aaaaaaaaaaaa, bbbbbbbbbbbb -> aaaaaaaaaaaa",
                   "input 'new' is new: cccccccccccc", "input 'old' is gone, was cccccccccccc",
                   "file 'x.txt' is gone, was aaaaaaaaaaaa", "file 'y.txt' is new: bbbbbbbbbbbb",
                   "content of 'path' changed: aaaaaaaaaaaa -> bbbbbbbbbbbb"}));
}

TEST(KeyChangeInFull, LongValuesAreCutAroundWhatDiffers) {
  const std::string long_text(100, 'x');
  const json before = {{"stage", "a.b"}, {"params", {{"t", long_text + "1"}}}};
  const json after = {{"stage", "a.b"},
                      {"params", {{"t", long_text + "2 and more, which is not all shown"}}}};
  EXPECT_EQ(InFull(before, after, 44), (Lines{"param 't' changed:", "  - ...xxxxxxxxxxxxx1\"",
                                              "  + ...xxxxxxxxxxxxx2 and more, which is ..."}));
}

TEST(KeyChangeInFull, TextsOfSeveralLinesAreALineDiff) {
  const json before = {{"stage", "exec"}, {"run", "set -e\ncat a\nsort\nuniq\nwc\n"}};
  const json after = {{"stage", "exec"}, {"run", "set -e\ncat b\nsort\nuniq\nwc -l\n"}};
  EXPECT_EQ(InFull(before, after), (Lines{"run text changed:", "    set -e", "  - cat a", "  + cat b",
                                          "    sort", "    uniq", "  - wc", "  + wc -l"}));
  std::string many;
  for (int i = 0; i < 30; ++i) many += "line " + std::to_string(i) + "\n";
  const auto lines = InFull({{"stage", "exec"}, {"run", "x\n"}}, {{"stage", "exec"}, {"run", many}});
  EXPECT_EQ(lines.size(), 14u);
  EXPECT_EQ(lines.back(), "    and more");
}

TEST(KeyChangeInFull, SecretsAreNamedAndTheirDigestsAreNot) {
  const json before = {{"stage", "a.b"}, {"params", {{"token", "${{ secrets.KEY#0123456789abcdef }}"}}}};
  const json after = {{"stage", "a.b"}, {"params", {{"token", "${{ secrets.KEY#fedcba9876543210 }}"}}}};
  EXPECT_EQ(InFull(before, after), (Lines{"param 'token' changed: a secret in it has another value"}));
  const auto parts = KeyParts(after.dump());
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(ShownValue(parts[1]), "\"${{ secrets.KEY }}\"");
}

TEST(KeyChangeInFull, PathsOfArtifactsInTextsAreCut) {
  const json before = {{"stage", "exec"}, {"run", "cat sha256:" + kDigestA}};
  const json after = {{"stage", "exec"}, {"run", "cat sha256:" + kDigestB}};
  EXPECT_EQ(InFull(before, after, 80),
            (Lines{"run text changed: cat sha256:aaaaaaaaaaaa -> cat sha256:bbbbbbbbbbbb"}));
}

TEST(KeyChange, WhatIsNotKnownYetIsNoDifference) {
  const json before = {
      {"stage", "exec"}, {"run", "cat sha256:" + kDigestA}, {"inputs", {{"in", {kDigestA}}}}};
  const json after = {{"stage", "exec"}, {"run", "cat sha256:?"}, {"inputs", {{"in", {"?"}}}}};
  EXPECT_TRUE(CompareKeys(before.dump(), after.dump()).empty());
  const auto parts = KeyParts(after.dump());
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_TRUE(IsUnknown(parts[1]));
  EXPECT_TRUE(IsUnknown(parts[2]));
  EXPECT_EQ(ShownValue(parts[2]), "not known yet");
}

TEST(KeyChange, PartsComeInTheOrderInWhichTheyAreTold) {
  const json key = {{"stage", "a.b"},
                    {"version", "1"},
                    {"plugin", kDigestA},
                    {"env", {{"E", "1"}}},
                    {"out", {{"o", "file"}}},
                    {"inputs", {{"i", {kDigestA}}}},
                    {"run", "true"},
                    {"params", {{"p", json::object()}, {"q", {{"r", 1}}}}},
                    {"files", {{"z", {{"f", kDigestA}}}, {"a", {{"", kDigestA}}}}}};
  std::vector<std::string> names;
  for (const auto& part : KeyParts(key.dump()))
    names.push_back(std::string(KeyPartName(part.kind)) + " " + part.name);
  EXPECT_EQ(names, (Lines{"stage ", "version ", "plugin a.b", "param p", "param q.r", "run ", "env E",
                          "output o", "input i", "file f", "content a"}));
}

json FanIn(const std::vector<std::pair<std::string, std::string>>& children) {
  json inputs = json::array();
  for (const auto& [child, digest] : children)
    inputs.push_back({{"digest", digest}, {"from", child}, {"matrix", json::object()}});
  return {{"stage", "exec"}, {"inputs", {{"all", inputs}}}};
}

TEST(KeyChangeInFull, OfAFanInTheChildrenThatDifferAreNamed) {
  const json before = FanIn({{"t[r=8]", kDigestA}, {"t[r=16]", kDigestA}, {"t[r=64]", kDigestC}});
  const json after = FanIn({{"t[r=8]", kDigestA}, {"t[r=16]", kDigestB}, {"t[r=65]", kDigestC}});
  EXPECT_EQ(InFull(before, after, 100),
            (Lines{"input 'all': t[r=16] aaaaaaaaaaaa -> bbbbbbbbbbbb, t[r=65] is new, t[r=64] is gone"}));
  EXPECT_EQ(InFull(before, after, 40),
            (Lines{"input 'all' changed:", "  t[r=16] aaaaaaaaaaaa -> bbbbbbbbbbbb", "  t[r=65] is new",
                   "  t[r=64] is gone"}));
  EXPECT_EQ(DescribeKeyChange(before.dump(), after.dump()),
            (Lines{"input 'all': t[r=16] changed, t[r=65] is new, t[r=64] is gone"}));
  EXPECT_EQ(ShownValue(KeyParts(before.dump()).back()), "aaaaaaaaaaaa, aaaaaaaaaaaa, cccccccccccc");
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 5; ++i) many.emplace_back("t[n=" + std::to_string(i) + "]", kDigestA);
  EXPECT_EQ(DescribeKeyChange(FanIn({{"t[n=0]", kDigestA}}).dump(), FanIn(many).dump()),
            (Lines{"input 'all': t[n=1] is new, t[n=2] is new, t[n=3] is new, and 1 more"}));
}

TEST(KeyChangeInFull, WhatIsNotKnownOfAFanInIsNoChange) {
  const json before = FanIn({{"t[r=8]", kDigestA}, {"t[r=16]", kDigestA}});
  const json after = FanIn({{"t[r=8]", "?"}, {"t[r=16]", "?"}});
  EXPECT_EQ(InFull(before, after), Lines{});
  EXPECT_TRUE(IsUnknown(KeyParts(after.dump()).back()));
  EXPECT_EQ(ShownValue(KeyParts(after.dump()).back()), "not known yet, not known yet");
}

TEST(KeyChangeInFull, ASentenceShowsWhatDiffers) {
  const std::string long_text(100, 'x');
  const auto sentence = [](const std::string& before, const std::string& after) {
    return DescribeKeyChange(json{{"stage", "a.b"}, {"env", {{"Q", before}}}}.dump(),
                             json{{"stage", "a.b"}, {"env", {{"Q", after}}}}.dump());
  };
  EXPECT_EQ(
      sentence("Bearer ${{ secrets.KEY#0123456789abcdef }}", "Bearer ${{ secrets.KEY#fedcba9876543210 }}"),
      (Lines{"env 'Q' changed: a secret in it has another value"}));
  EXPECT_EQ(sentence(long_text + "1", long_text + "2"),
            (Lines{"env 'Q' changed: ...xxxxxxxxxxxxxxxxxxxx1\" -> ...xxxxxxxxxxxxxxxxxxxx2\""}));
}

}  // namespace
}  // namespace genflow
