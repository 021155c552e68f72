#include "nn/config.h"

#include "fixtures.h"

namespace genflow::nn {
namespace {

using Json = nlohmann::json;

Json Base() {
  return Json::parse(R"({"architectures": ["LlamaForCausalLM"], "vocab_size": 100, "hidden_size": 48,
    "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2})");
}

TEST(ModelConfig, Defaults) {
  const auto config = ParseModelConfig(Base());
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->architecture, "LlamaForCausalLM");
  EXPECT_EQ(config->head_dim, 8);
  EXPECT_EQ(config->max_positions, 2048);
  EXPECT_EQ(config->rms_norm_eps, 1e-6);
  EXPECT_EQ(config->rope_theta, 10000.0);
  EXPECT_EQ(config->rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_FALSE(config->tie_word_embeddings);
  EXPECT_TRUE(config->eos_token_ids.empty());
  EXPECT_EQ(config->bos_token_id, -1);
}

TEST(ModelConfig, ModelTypeStandsInForArchitectures) {
  Json json = Base();
  json.erase("architectures");
  json["model_type"] = "llama";
  const auto config = ParseModelConfig(json);
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->architecture, "LlamaForCausalLM");
}

TEST(ModelConfig, OneOrManyEndTokens) {
  Json json = Base();
  json["eos_token_id"] = 2;
  json["bos_token_id"] = 1;
  EXPECT_EQ(ParseModelConfig(json)->eos_token_ids, std::vector<int32_t>{2});
  EXPECT_EQ(ParseModelConfig(json)->bos_token_id, 1);
  json["eos_token_id"] = {2, 7};
  EXPECT_EQ(ParseModelConfig(json)->eos_token_ids, (std::vector<int32_t>{2, 7}));
  json["eos_token_id"] = nullptr;
  EXPECT_TRUE(ParseModelConfig(json)->eos_token_ids.empty());
}

TEST(ModelConfig, RopeInBothSpellings) {
  Json json = Base();
  json["rope_theta"] = 5e5;
  json["rope_scaling"] = {{"rope_type", "llama3"},
                          {"factor", 8.0},
                          {"low_freq_factor", 1.0},
                          {"high_freq_factor", 4.0},
                          {"original_max_position_embeddings", 8192}};
  const auto old_spelling = ParseModelConfig(json);
  ASSERT_TRUE(old_spelling.ok()) << old_spelling.error().ToString();
  json["rope_parameters"] = json["rope_scaling"];
  json["rope_parameters"]["rope_theta"] = 5e5;
  json.erase("rope_scaling");
  json.erase("rope_theta");
  const auto new_spelling = ParseModelConfig(json);
  ASSERT_TRUE(new_spelling.ok()) << new_spelling.error().ToString();
  for (const auto& config : {*old_spelling, *new_spelling}) {
    EXPECT_EQ(config.rope_theta, 5e5);
    EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
    EXPECT_EQ(config.rope_scaling.factor, 8.0);
    EXPECT_EQ(config.rope_scaling.original_max_positions, 8192);
  }
}

struct Refusal {
  const char* patch;  // merged into Base(); null removes a field
  const char* text;
  Code code;
};
class Refused : public testing::TestWithParam<Refusal> {};

TEST_P(Refused, SaysWhy) {
  Json json = Base();
  json.merge_patch(Json::parse(GetParam().patch));
  const auto config = ParseModelConfig(json);
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().ToString(), GetParam().text);
  EXPECT_EQ(config.error().code, GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(
    ModelConfig, Refused,
    testing::Values(
        Refusal{R"({"architectures": ["MambaForCausalLM"]})",
                "model architecture 'MambaForCausalLM' is not supported\n  hint: supported: LlamaForCausalLM",
                Code::kUnsupported},
        Refusal{R"({"architectures": null})",
                "config.json names no 'architectures', expected one of: LlamaForCausalLM", Code::kInvalid},
        Refusal{R"({"architectures": "LlamaForCausalLM"})",
                "config.json: 'architectures' is \"LlamaForCausalLM\", expected a list of one name",
                Code::kInvalid},
        Refusal{R"({"hidden_size": null})", "config.json has no 'hidden_size', expected a positive integer",
                Code::kInvalid},
        Refusal{R"({"hidden_size": "48"})",
                "config.json: 'hidden_size' is \"48\", expected a positive integer", Code::kInvalid},
        Refusal{R"({"vocab_size": 0})", "config.json: 'vocab_size' is 0, expected a positive integer",
                Code::kInvalid},
        Refusal{R"({"num_hidden_layers": -2})",
                "config.json: 'num_hidden_layers' is -2, expected a positive integer", Code::kInvalid},
        Refusal{R"({"intermediate_size": 99999999999999999999})",
                "config.json: 'intermediate_size' is 1e+20, expected a positive integer", Code::kInvalid},
        Refusal{R"({"rms_norm_eps": 0})", "config.json: 'rms_norm_eps' is 0, expected a positive number",
                Code::kInvalid},
        Refusal{R"({"tie_word_embeddings": 1})",
                "config.json: 'tie_word_embeddings' is 1, expected true or false", Code::kInvalid},
        Refusal{R"({"num_attention_heads": 7, "num_key_value_heads": 7})",
                "config.json: 'hidden_size' 48 is not a multiple of 'num_attention_heads' 7, and there is no "
                "'head_dim'",
                Code::kInvalid},
        Refusal{R"({"num_key_value_heads": 4})",
                "config.json: 'num_attention_heads' 6 is not a multiple of 'num_key_value_heads' 4",
                Code::kInvalid},
        Refusal{R"({"head_dim": 7})", "config.json: 'head_dim' 7 is odd, rotary positions need it even",
                Code::kInvalid},
        Refusal{R"({"hidden_act": "gelu"})",
                "config.json: 'hidden_act' \"gelu\" is not supported\n  hint: supported: silu",
                Code::kUnsupported},
        Refusal{R"({"eos_token_id": 100})",
                "config.json: 'eos_token_id' is 100, expected token ids below vocab_size", Code::kInvalid},
        Refusal{R"({"quantization_config": {"bits": 4}})",
                "config.json has a 'quantization_config', and such weights are not supported\n"
                "  hint: use the original model, or a GGUF file of it",
                Code::kUnsupported},
        Refusal{R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})",
                "config.json rope_scaling of type 'yarn' is not supported\n  hint: supported: default, "
                "linear, llama3",
                Code::kUnsupported},
        Refusal{R"({"rope_parameters": {"rope_type": "linear"}})",
                "config.json rope_parameters has no 'factor', expected a positive number", Code::kInvalid},
        Refusal{
            R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}})",
            "config.json rope_scaling: 'high_freq_factor' must be greater than 'low_freq_factor'",
            Code::kInvalid},
        Refusal{R"({"rope_scaling": 3})", "config.json: 'rope_scaling' is 3, expected an object",
                Code::kInvalid},
        Refusal{R"({"partial_rotary_factor": 0.5})",
                "config.json: 'partial_rotary_factor' is 0.5, and only 1 is supported", Code::kUnsupported}));

TEST(ModelConfig, NotAnObject) {
  const auto config = ParseModelConfig(Json::array());
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().ToString(), "config.json does not hold a JSON object");
}

}  // namespace
}  // namespace genflow::nn
