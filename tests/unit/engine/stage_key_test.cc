#include <gtest/gtest.h>

#include "engine/key_change.h"

namespace genflow {
namespace {

using nlohmann::json;

TEST(KeyChange, NamesWhatDiffers) {
  const json before = {{"stage", "train.lora"},
                       {"version", "1.0.0"},
                       {"plugin", "aa"},
                       {"params", {{"lora", {{"r", 8}, {"alpha", 16}}}, {"name", "x"}, {"old", true}}},
                       {"env", {{"A", "1"}}},
                       {"inputs", {{"dataset", {"d1"}}, {"model", {"m"}}}},
                       {"files", {{"path", {{"", "f1"}}}, {"files", {{"a.txt", "1"}, {"b.txt", "2"}}}}}};
  json after = before;
  after["version"] = "1.1.0";
  after["plugin"] = "bb";
  after["params"]["lora"]["r"] = 16;
  after["params"].erase("old");
  after["params"]["new"] = json::array({1, 2});
  after["env"]["A"] = "2";
  after["inputs"]["dataset"] = {"d2"};
  after["inputs"].erase("model");
  after["files"]["path"][""] = "f2";
  after["files"]["files"] = {{"a.txt", "9"}, {"c.txt", "3"}};
  EXPECT_EQ(DescribeKeyChange(before.dump(), after.dump()),
            (std::vector<std::string>{"stage is version 1.1.0, was 1.0.0", "param 'lora.r' changed: 8 -> 16",
                                      "param 'new' is new: [1,2]", "param 'old' is gone, was true",
                                      "env 'A' changed: \"1\" -> \"2\"", "input 'dataset' changed",
                                      "input 'model' is gone", "file 'a.txt' changed", "file 'b.txt' is gone",
                                      "file 'c.txt' is new", "content of 'path' changed"}));
}

TEST(KeyChange, RebuiltPluginOtherStageAndNonsense) {
  const json before = {{"stage", "a.b"}, {"version", "1"}, {"plugin", "aa"}};
  json after = before;
  after["plugin"] = "bb";
  EXPECT_EQ(DescribeKeyChange(before.dump(), after.dump()),
            (std::vector<std::string>{"plugin of 'a.b' changed"}));
  after["stage"] = "c.d";
  EXPECT_EQ(DescribeKeyChange(before.dump(), after.dump()),
            (std::vector<std::string>{"uses 'c.d', was 'a.b'"}));
  EXPECT_TRUE(DescribeKeyChange(before.dump(), before.dump()).empty());
  EXPECT_TRUE(DescribeKeyChange("", before.dump()).empty());
}

TEST(KeyChange, OfManyFilesTheFirstAreNamed) {
  json before = {{"stage", "exec"}, {"files", {{"files", json::object()}}}}, after = before;
  for (int i = 0; i < 2000; ++i) after["files"]["files"]["f" + std::to_string(1000 + i)] = "d";
  EXPECT_EQ(DescribeKeyChange(before.dump(), after.dump()),
            (std::vector<std::string>{"file 'f1000' is new", "file 'f1001' is new", "file 'f1002' is new",
                                      "and 1,997 more files differ"}));
}

TEST(KeyChange, LongValuesAreCut) {
  const json before = {{"stage", "exec"}, {"params", {{"text", std::string(100, 'a')}}}};
  const json after = {{"stage", "exec"}, {"params", {{"text", "b"}}}};
  EXPECT_EQ(DescribeKeyChange(before.dump(), after.dump()),
            (std::vector<std::string>{"param 'text' changed: \"" + std::string(56, 'a') + "... -> \"b\""}));
}

}  // namespace
}  // namespace genflow
