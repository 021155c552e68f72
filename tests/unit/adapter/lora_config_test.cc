#include "adapter/lora_config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "adapter/folder.h"

namespace genflow::adapter {
namespace {

using nlohmann::json;

json Plain() {
  return {
      {"peft_type", "LORA"}, {"r", 8}, {"lora_alpha", 16}, {"target_modules", {"q_proj", "mlp.down_proj"}}};
}

// The message for a configuration with one key changed, or "read".
std::string Refusal(const char* key, const json& value) {
  json config = Plain();
  config[key] = value;
  const auto read = ParseLoraConfig(config.dump(), "c.json");
  return read.ok() ? "read" : read.error().message;
}

TEST(LoraConfig, ReadsPeftsKeys) {
  const auto config = ParseLoraConfig(
      R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8.5, "lora_dropout": 0.1, "target_modules": ".*_proj",
          "exclude_modules": ["k_proj"], "layers_to_transform": 3, "use_rslora": true, "use_dora": true,
          "modules_to_save": ["lm_head"], "rank_pattern": {"b": 2, "a": 3}, "alpha_pattern": {"z": 1.5},
          "init_lora_weights": "gaussian", "bias": "none", "kasa_config": null, "fan_in_fan_out": false})",
      "c.json");
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->r, 4);
  EXPECT_EQ(config->alpha, 8.5);
  EXPECT_EQ(config->dropout, 0.1);
  EXPECT_EQ(config->target_modules.pattern, ".*_proj");
  EXPECT_EQ(config->exclude_modules.names, std::vector<std::string>{"k_proj"});
  EXPECT_EQ(config->layers_to_transform, std::vector<int64_t>{3});
  EXPECT_TRUE(config->use_rslora && config->use_dora);
  EXPECT_EQ(config->modules_to_save, std::vector<std::string>{"lm_head"});
  EXPECT_EQ(config->rank_pattern, (LoraConfig::Patterns<int64_t>{{"b", 2}, {"a", 3}}))
      << "in the file's order";
  EXPECT_EQ(config->alpha_pattern, (LoraConfig::Patterns<double>{{"z", 1.5}}));
  EXPECT_FALSE(config->ChangesBase());
}

TEST(LoraConfig, RefusalsNameTheKey) {
  EXPECT_EQ(Refusal("peft_type", "IA3"), "'c.json': peft_type is \"IA3\", expected \"LORA\"");
  EXPECT_EQ(Refusal("peft_type", nullptr), "'c.json': peft_type is missing, expected \"LORA\"");
  EXPECT_EQ(Refusal("r", 0), "'c.json': r is 0, expected a rank from 1 to 65536");
  EXPECT_EQ(Refusal("r", 1e30), "'c.json': r is 1e+30, expected a rank from 1 to 65536");
  EXPECT_EQ(Refusal("lora_alpha", -1), "'c.json': lora_alpha is -1, expected a number above 0");
  EXPECT_EQ(Refusal("lora_dropout", 1),
            "'c.json': lora_dropout is 1, expected a number from 0 to less than 1");
  EXPECT_EQ(Refusal("rank_pattern", {{"a", 0}}),
            "'c.json': rank_pattern is 0, expected a rank from 1 to 65536");
  EXPECT_EQ(Refusal("alpha_pattern", {1}), "'c.json': alpha_pattern is [1], expected an object");
  EXPECT_EQ(Refusal("use_dora", 1), "'c.json': use_dora is 1, expected true or false");
  EXPECT_EQ(Refusal("target_modules", {1}), "'c.json': target_modules is [1], expected a list of names");
  for (const json& nothing : {json(), json::array(), json("")}) {
    EXPECT_EQ(Refusal("target_modules", nothing), "'c.json': target_modules is " +
                                                      (nothing.is_null() ? "missing" : nothing.dump()) +
                                                      ", expected a list of names or a regular expression");
  }
  EXPECT_EQ(Refusal("layers_to_transform", {"a"}),
            "'c.json': layers_to_transform is [\"a\"], expected a layer's index or a list of them");
  EXPECT_EQ(Refusal("layers_to_transform", -1),
            "'c.json': layers_to_transform is -1, expected a layer's index or a list of them");
  for (const char* key : {"target_modules", "exclude_modules"}) {
    EXPECT_EQ(Refusal(key, "(a"), std::string("'c.json': ") + key +
                                      ": regular expression, column 3: missing closing parenthesis\n"
                                      "    (a\n      ^");
  }
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    const std::string begin = std::string("'c.json': ") + key + ": regular expression,";
    EXPECT_EQ(Refusal(key, {{"(a", 1}}).substr(0, begin.size()), begin);
  }
  EXPECT_EQ(Refusal("bias", "all"), "'c.json': bias is \"all\", which genflow does not compute");
  EXPECT_EQ(Refusal("fan_in_fan_out", true),
            "'c.json': fan_in_fan_out is true, which genflow does not compute");
  EXPECT_EQ(Refusal("init_lora_weights", 3),
            "'c.json': init_lora_weights is 3, expected true, false or a name");
  EXPECT_EQ(ParseLoraConfig("[1]", "c.json").error().message, "'c.json': is not a JSON object");
  EXPECT_EQ(ParseLoraConfig("{\"r\"", "c.json").error().message, "'c.json': is not a JSON object");
}

TEST(LoraConfig, ModulesAndRanksAreChosenAsPeftDoes) {
  LoraConfig config;
  config.target_modules.names = {"q_proj", "mlp.down_proj"};
  config.exclude_modules.pattern = ".*layers\\.1\\..*";
  config.layers_to_transform = {0, 1};
  const auto adapts = [&](const char* module) { return Adapts(config, module).value(); };
  EXPECT_TRUE(adapts("model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(adapts("model.layers.0.mlp.down_proj"));
  EXPECT_FALSE(adapts("model.layers.0.self_attn.k_proj"));
  EXPECT_FALSE(adapts("model.layers.1.self_attn.q_proj")) << "excluded";
  EXPECT_FALSE(adapts("model.layers.2.self_attn.q_proj")) << "another layer";
  EXPECT_FALSE(adapts("xq_proj")) << "a name begins after a dot";

  config.rank_pattern = {{"layers\\.0\\.self_attn\\.q_proj", 2}, {"q_proj", 4}};
  config.alpha_pattern = {{"q_proj", 16}, {"layers\\.0\\.self_attn\\.q_proj", 4}};
  const auto first = RankOf(config, "model.layers.0.self_attn.q_proj");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->r, 2);
  EXPECT_EQ(first->scaling, 8) << "the first that matches counts";
  config.use_rslora = true;
  EXPECT_EQ(RankOf(config, "model.layers.3.self_attn.q_proj")->scaling, 8);
  EXPECT_EQ(RankOf(config, "model.layers.3.self_attn.k_proj")->scaling, 8 / std::sqrt(8.0));
  config.rank_pattern = {{"(", 4}};
  EXPECT_EQ(RankOf(config, "q_proj").error().message.substr(0, 33), "rank_pattern: regular expression,");
}

// What is written is read as what it was, and keeps the keys that genflow has no use for.
TEST(LoraConfig, IsWrittenAsPeftDoes) {
  LoraConfig config;
  config.r = 4;
  config.alpha = 8.5;
  config.dropout = 0.1;
  config.target_modules.pattern = ".*_proj";
  config.exclude_modules.names = {"k_proj"};
  config.layers_to_transform = {3};
  config.use_rslora = true;
  config.init_lora_weights = "gaussian";
  config.modules_to_save = {"lm_head"};
  config.rank_pattern = {{"b", 2}, {"a", 3}};
  config.alpha_pattern = {{"z", 32.0}};
  const std::string text = LoraConfigText(config);
  const auto read = ParseLoraConfig(text, "c.json");
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->rank_pattern, config.rank_pattern) << "in the same order";
  EXPECT_EQ(LoraConfigText(*read), text);
  const json written = json::parse(text);
  EXPECT_EQ(written["peft_type"], "LORA");
  EXPECT_EQ(written["lora_alpha"], 8.5);
  EXPECT_EQ(written["alpha_pattern"].dump(), R"({"z":32})");

  const json plain = json::parse(LoraConfigText(*ParseLoraConfig(Plain().dump(), "c.json"),
                                                R"({"revision": "abc", "rank_pattern": {"x": 1}})"));
  EXPECT_EQ(plain["revision"], "abc");
  EXPECT_EQ(plain["rank_pattern"], json::object());
  EXPECT_EQ(plain["target_modules"], json({"q_proj", "mlp.down_proj"}));
  EXPECT_EQ(plain["init_lora_weights"], true);
  EXPECT_TRUE(plain["exclude_modules"].is_null() && plain["modules_to_save"].is_null());
}

TEST(LoraConfig, ModulesToSaveAreEndsOfNames) {
  LoraConfig config;
  config.modules_to_save = {"lm_head", "norm"};
  EXPECT_EQ(*SavedBy(config, "lm_head"), "lm_head");
  EXPECT_EQ(*SavedBy(config, "model.layers.0.input_layernorm"), "norm");
  EXPECT_EQ(SavedBy(config, "model.embed_tokens"), nullptr);
}

TEST(TensorNames, AreReadAsTheyAreWritten) {
  const std::string module = "model.layers.0.self_attn.q_proj";
  EXPECT_EQ(TensorName(module, Part::kA), "base_model.model." + module + ".lora_A.weight");
  EXPECT_EQ(TensorName(module, Part::kMagnitude), "base_model.model." + module + ".lora_magnitude_vector");
  for (const Part part : {Part::kA, Part::kB, Part::kEmbeddingA, Part::kEmbeddingB, Part::kMagnitude,
                          Part::kBase, Part::kWhole}) {
    const auto place = ParseTensorName(TensorName(module, part));
    ASSERT_TRUE(place);
    EXPECT_EQ(place->module, module);
    EXPECT_EQ(place->part, part);
  }
  EXPECT_EQ(ParseTensorName("base_model.model.x.lora_magnitude_vector.weight")->part, Part::kMagnitude);
  EXPECT_FALSE(ParseTensorName(module + ".lora_A.weight"));
  EXPECT_FALSE(ParseTensorName("base_model.model." + module + ".bias"));
}

}  // namespace
}  // namespace genflow::adapter
