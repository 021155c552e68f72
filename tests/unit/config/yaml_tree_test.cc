#include "config/yaml_tree.h"

#include <gtest/gtest.h>

namespace genflow {
namespace {

std::string Json(const std::string& text) {
  const SourceText source("f", text);
  YamlTree tree;
  std::vector<Diagnostic> problems;
  const YamlNode* root = ParseYaml(source, &tree, &problems);
  if (!problems.empty()) return problems[0].message;
  return root == nullptr ? "null root" : YamlToJson(*root).dump();
}

// "line:column+length" of the value behind key `a`.
std::string Place(const std::string& text) {
  const SourceText source("f", text);
  YamlTree tree;
  std::vector<Diagnostic> problems;
  const YamlNode* root = ParseYaml(source, &tree, &problems);
  if (root == nullptr || root->Find("a") == nullptr) return "none";
  const YamlNode* value = root->Find("a");
  const Position p = source.At(value->offset, value->bytes);
  return std::to_string(p.line) + ":" + std::to_string(p.column) + "+" + std::to_string(p.length);
}

TEST(YamlTree, TypesScalarsByTheCoreSchema) {
  EXPECT_EQ(Json("[null, ~, true, False, yes, no, on]"), R"([null,null,true,false,"yes","no","on"])");
  EXPECT_EQ(Json("[12, -3, +4, 0x1F, 0o17, 010, 1_000]"), R"([12,-3,4,31,15,10,"1_000"])");
  EXPECT_EQ(Json("[1.5, .5, 1e3, -2.5e-3, 1., 0..1, 1.2.3, e5]"),
            R"([1.5,0.5,1000.0,-0.0025,1.0,"0..1","1.2.3","e5"])");
  EXPECT_EQ(Json("['12', \"true\", !!str 5, !!int '7']"), R"(["12","true","5",7])");
  EXPECT_EQ(Json("[99999999999999999999, .inf, -.INF, .nan]"), R"([1e+20,".inf","-.INF",".nan"])");
  EXPECT_EQ(Json("[2024-01-01, 12:30:00]"), R"(["2024-01-01","12:30:00"])");
}

TEST(YamlTree, ReadsBlockText) {
  EXPECT_EQ(Json("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), R"({"a":"x\ny\n","b":"x y"})");
}

TEST(YamlTree, KnowsWhereThingsStand) {
  EXPECT_EQ(Place("a: abc  # x"), "1:4+3");
  EXPECT_EQ(Place("a: 'it''s'"), "1:4+7");
  EXPECT_EQ(Place("a: \"\\\"é\\\"\""), "1:4+7");
  EXPECT_EQ(Place("é: 1\na:    x y"), "2:7+3");
  EXPECT_EQ(Place("{é: 1, a: 22}"), "1:11+2");
  EXPECT_EQ(Place("a: |\n  text"), "1:4+1");
  EXPECT_EQ(Place("a: &anchor !!str 5"), "1:18+1");
  EXPECT_EQ(Place("a:\n\n\nb: 1"), "1:1+1");
  EXPECT_EQ(Place("a: ~"), "1:4+1");
  EXPECT_EQ(Place("a: null"), "1:4+4");
  EXPECT_EQ(Place("b: 1\r\na: two\r\n"), "2:4+3");
  EXPECT_EQ(Place("a: one\n  two\n"), "1:4+3");
  EXPECT_EQ(Place("a: [1]"), "1:4+1");
}

TEST(YamlTree, UnfoldsAliasesAndMerges) {
  EXPECT_EQ(Json("x: &x {p: 1, q: 2}\ny: *x\nz: {<<: *x, q: 3}\nw: {<<: [{q: 9}, *x]}\n"),
            R"({"w":{"p":1,"q":9},"x":{"p":1,"q":2},"y":{"p":1,"q":2},"z":{"p":1,"q":3}})");
  EXPECT_EQ(Json("a: {<<: 3}"), "'<<' takes a mapping, or a list of mappings");
  EXPECT_EQ(Json("a: &a [*a]"), "this alias stands inside what it refers to");
}

TEST(YamlTree, EmptyIsNull) {
  EXPECT_EQ(Json(""), "null");
  EXPECT_EQ(Json("---\n"), "null");
  EXPECT_EQ(Json("# x"), "null");
}

}  // namespace
}  // namespace genflow
