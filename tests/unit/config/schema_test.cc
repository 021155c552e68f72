#include "config/schema.h"

#include <gtest/gtest.h>

#include <functional>

#include "unit/config/catalog.h"

namespace genflow {
namespace {

using nlohmann::json;

struct SchemaTest : ::testing::Test {
  // What the schema demands of a stage with this `uses`.
  json Branch(const std::string& uses) const {
    for (const auto& branch : schema["$defs"]["stage"]["allOf"]) {
      if (branch["if"]["properties"]["uses"]["const"] == uses) return branch["then"];
    }
    return nullptr;
  }
  const json schema = PipelineJsonSchema(TestCatalog());
};

TEST_F(SchemaTest, OffersEveryStageWithItsSummary) {
  const json& uses = schema["$defs"]["stage"]["properties"]["uses"]["oneOf"];
  ASSERT_EQ(uses.size(), 8u);
  EXPECT_EQ(uses[0], json::parse(R"({"const":"data.clean","description":"Stage data.clean."})"));
  EXPECT_EQ(uses[6], json::parse(R"({"const":"exec","description":"Runs any program."})"));
  EXPECT_EQ(uses[7]["pattern"], "^\\.\\.?/|\\.ya?ml$");
  EXPECT_EQ(schema["$defs"]["stage"]["required"], json::array({"uses"}));
}

TEST_F(SchemaTest, DescribesParametersAsTheyAreWritten) {
  const json with = Branch("train.lora")["properties"]["with"];
  EXPECT_EQ(with["additionalProperties"], false);
  EXPECT_EQ(with["properties"]["lora"]["properties"]["r"],
            json::parse(R"({"anyOf":[{"type":"integer","minimum":1,"maximum":1024},
      {"type":"string","pattern":"\\$\\{\\{.*\\}\\}"}],"default":8})"));
  EXPECT_EQ(with["properties"]["schedule"]["anyOf"][0],
            json::parse(R"({"enum":["cosine","linear","constant"]})"));
  EXPECT_EQ(with["properties"]["extra"], json::object());
  EXPECT_FALSE(with.contains("required"));
}

TEST_F(SchemaTest, RequiresWhatMustBeGiven) {
  const json read = Branch("data.read");
  EXPECT_EQ(read["required"], json::array({"with"}));
  EXPECT_EQ(read["properties"]["with"]["required"], json::array({"path"}));
  EXPECT_EQ(read["properties"]["with"]["properties"]["path"]["description"], "Files to read.");
  const json tune = Branch("train.lora");
  EXPECT_EQ(tune["required"], json::array({"in"}));
  EXPECT_EQ(tune["properties"]["in"]["required"], json::array({"dataset", "model"}));
  EXPECT_EQ(Branch("gate.metrics")["properties"]["in"]["properties"]["report"]["anyOf"].size(), 2u);
}

TEST_F(SchemaTest, KnowsExec) {
  const json exec = Branch("exec");
  EXPECT_EQ(exec["required"], json::array({"with"}));
  EXPECT_EQ(exec["properties"]["with"]["required"], json::array({"run"}));
  EXPECT_EQ(exec["properties"]["out"]["additionalProperties"]["enum"].size(), 6u);
}

TEST_F(SchemaTest, KnowsTheLanguageAroundStages) {
  std::vector<std::string> top, stage;
  for (const auto& [key, unused] : schema["properties"].items()) top.push_back(key);
  for (const auto& [key, unused] : schema["$defs"]["stage"]["properties"].items()) stage.push_back(key);
  EXPECT_EQ(top, (std::vector<std::string>{"defaults", "env", "inputs", "name", "outputs", "params",
                                           "profiles", "stages"}));
  EXPECT_EQ(stage, (std::vector<std::string>{"env", "if", "in", "matrix", "needs", "out", "resources",
                                             "retries", "timeout", "uses", "with"}));
  const json& retries = schema["$defs"]["retries"]["anyOf"][2];
  EXPECT_EQ(retries["properties"]["on"]["anyOf"][0]["pattern"],
            "^(crash|timeout|memory|error|exit(:[0-9]+)?)$");
  EXPECT_EQ(schema["$defs"]["matrix"]["anyOf"][1]["properties"]["include"]["$ref"], "#/$defs/combinations");
}

// Every "$ref" leads somewhere, and every "required" is a list of names.
TEST_F(SchemaTest, IsWellFormed) {
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  size_t refs = 0;
  const std::function<void(const json&)> walk = [&](const json& node) {
    if (node.is_object()) {
      if (node.contains("$ref")) {
        ++refs;
        EXPECT_TRUE(schema.contains(json::json_pointer(node["$ref"].get<std::string>().substr(1))))
            << node["$ref"];
      }
      if (node.contains("required") && !node["required"].is_object()) {
        EXPECT_TRUE(node["required"].is_array() && node["required"][0].is_string()) << node.dump();
      }
      if (node.contains("type") && node["type"].is_array()) {
        EXPECT_GE(node["type"].size(), 2u);
      }
    }
    if (node.is_structured()) {
      for (const auto& item : node) walk(item);
    }
  };
  walk(schema);
  EXPECT_GT(refs, 10u);
}

}  // namespace
}  // namespace genflow
