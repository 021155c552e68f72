#include "nn/train/adapter.h"

#include <nlohmann/json.hpp>

#include "testing/scratch.h"
#include "train_testing.h"

namespace genflow::nn::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path PeftFolder(const std::string& name) { return Fixtures() / "train" / name; }

std::string Bytes(const fs::path& path) {
  const auto bytes = ReadFile(path);
  EXPECT_TRUE(bytes.ok()) << bytes.error().ToString();
  return bytes.ok() ? *bytes : "";
}

// Writes a copy of a PEFT adapter, with one key of its configuration changed, into a folder.
void WriteChanged(const fs::path& folder, const std::string& key, const json& value) {
  json config = json::parse(Bytes(PeftFolder("peft_adapter") / "adapter_config.json"));
  config[key] = value;
  EXPECT_TRUE(WriteFileAtomic(folder / "adapter_config.json", config.dump()).ok());
  fs::copy_file(PeftFolder("peft_adapter") / "adapter_model.safetensors",
                folder / "adapter_model.safetensors");
}

at::Tensor LogitsOf(const CausalLM& model, const at::Tensor& ids) {
  const c10::NoGradGuard no_grad;
  Batch batch;
  batch.input_ids = ids.to(at::kLong).unsqueeze(0);
  return model.Logits(model.Hidden(batch))[0];
}

class PeftFolders : public testing::TestWithParam<const char*> {
 protected:
  std::shared_ptr<CausalLM> Base() const {
    return std::string(GetParam()) == "peft_saved" ? TinyModel(at::kFloat, "tiny_llama3_untied")
                                                   : TinyModel();
  }
};

TEST_P(PeftFolders, LoadComputeAndSaveAgainUnchanged) {
  const fs::path folder = PeftFolder(GetParam());
  const Tensors expected(PeftFolder(std::string(GetParam()) + ".expected.safetensors"));
  const auto model = Base();
  auto lora = LoadAdapter(*model, folder);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  EXPECT_LE((LogitsOf(*model, expected.Get("ids")) - expected.Get("logits")).abs().max().item<double>(),
            1e-4);

  const ScratchFolder scratch;
  const fs::path saved = scratch / "saved";
  ASSERT_TRUE(SaveAdapter(*lora, saved).ok());
  EXPECT_EQ(Bytes(saved / "adapter_model.safetensors"), Bytes(folder / "adapter_model.safetensors"));
  EXPECT_EQ(json::parse(Bytes(saved / "adapter_config.json")).dump(1),
            json::parse(Bytes(folder / "adapter_config.json")).dump(1));
}

TEST_P(PeftFolders, MergeAsPeft) {
  const fs::path folder = PeftFolder(GetParam());
  const Tensors expected(PeftFolder(std::string(GetParam()) + ".expected.safetensors"));
  const auto model = Base();
  auto lora = LoadAdapter(*model, folder);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  ASSERT_TRUE(MergeLora(*lora).ok());
  size_t compared = 0;
  for (const auto& [name, weight] : model->NamedWeights()) {
    if (!expected.Has(name)) continue;
    EXPECT_LE((*weight - expected.Get(name)).abs().max().item<double>(), 2e-6) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 14u);
  EXPECT_LE((LogitsOf(*model, expected.Get("ids")) - expected.Get("logits")).abs().max().item<double>(),
            1e-4);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, PeftFolders,
                         testing::Values("peft_adapter", "peft_patterns", "peft_dora", "peft_saved"),
                         [](const auto& info) { return std::string(info.param); });

// With and without DoRA, and with modules to save, an adapter that is taken off leaves the base.
TEST_P(PeftFolders, SwitchOffAndOn) {
  const Tensors expected(PeftFolder(std::string(GetParam()) + ".expected.safetensors"));
  const auto model = Base();
  const at::Tensor base = LogitsOf(*model, expected.Get("ids"));
  auto lora = LoadAdapter(*model, PeftFolder(GetParam()));
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  const at::Tensor tuned = LogitsOf(*model, expected.Get("ids"));
  EXPECT_FALSE(at::equal(base, tuned));
  lora->SetEnabled(false);
  EXPECT_TRUE(at::equal(LogitsOf(*model, expected.Get("ids")), base));
  lora->SetEnabled(true);
  EXPECT_TRUE(at::equal(LogitsOf(*model, expected.Get("ids")), tuned));
}

TEST(Adapter, ExcludedModulesAndLayersAreAsPeftNamesThem) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules = TargetModules::AllLinear();
  config.exclude_modules.names = {"down_proj", "layers.1.self_attn.q_proj"};
  config.layers_to_transform = {1};
  auto lora = AttachLora(*model, config, /*trainable=*/true);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  std::vector<std::string> names;
  for (const auto& module : lora->modules()) names.push_back(module.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"model.layers.1.self_attn.k_proj", "model.layers.1.self_attn.v_proj",
                                      "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.gate_proj",
                                      "model.layers.1.mlp.up_proj"}));
  const ScratchFolder folder;
  ASSERT_TRUE(SaveAdapter(*lora, folder.path()).ok());
  const auto read = ReadAdapterConfig(folder.path());
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->layers_to_transform, config.layers_to_transform);
  EXPECT_EQ(read->exclude_modules.names, config.exclude_modules.names);
  const auto again = LoadAdapter(*TinyModel(), folder.path());
  ASSERT_TRUE(again.ok()) << again.error().ToString();
  EXPECT_EQ(again->modules().size(), names.size());

  config.layers_to_transform = {2};
  const auto refused = AttachLora(*model, config, true);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().ToString(),
            "lora.layers_to_transform holds 2, and the model has 2 layers\n  hint: layers count from 0");
}

// The two ends of a tied model, one of which is trained: PEFT leaves the other what it was.
TEST(Adapter, ASavedEndOfTiedEmbeddingsLeavesTheOther) {
  for (const std::string saved : {"embed_tokens", "lm_head"}) {
    const auto model = TinyModel();
    const at::Tensor base = model->embed_tokens.clone();
    LoraConfig config;
    config.target_modules.names = {"q_proj"};
    config.modules_to_save = {saved};
    auto lora = AttachLora(*model, config, /*trainable=*/true);
    ASSERT_TRUE(lora.ok()) << lora.error().ToString();
    ASSERT_EQ(lora->saved().size(), 1u);
    lora->saved()[0].value.detach().add_(1);
    const bool head = saved == "lm_head";
    EXPECT_TRUE(at::equal(model->embed_tokens, head ? base : base + 1)) << saved;
    EXPECT_TRUE(at::equal(model->head_weight(), head ? base + 1 : base)) << saved;
    lora->SetEnabled(false);
    EXPECT_TRUE(model->head_weight().is_same(model->embed_tokens)) << "tied again";
    EXPECT_TRUE(at::equal(model->embed_tokens, base));
  }
}

TEST(Adapter, ModulesToSaveAreNamed) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_proj"};
  config.modules_to_save = {"lm_heads"};
  EXPECT_EQ(
      AttachLora(*model, config, true).error().ToString(),
      "lora.modules_to_save 'lm_heads' matches no module of the model\n"
      "  hint: the model has down_proj, embed_tokens, gate_proj, input_layernorm, k_proj, lm_head, norm, "
      "o_proj, post_attention_layernorm, q_proj, up_proj, v_proj; did you mean 'lm_head'?");
  config.modules_to_save = {"q_proj"};
  EXPECT_EQ(AttachLora(*model, config, true).error().ToString(),
            "lora.modules_to_save and lora.target_modules both name 'model.layers.0.self_attn.q_proj'\n"
            "  hint: a module is trained whole or by an update");
}

TEST(Adapter, SaysWhichKeysItDoesNotCompute) {
  const auto model = TinyModel();
  const std::pair<const char*, json> cases[] = {
      {"lora_bias", true}, {"fan_in_fan_out", true}, {"layer_replication", {{0, 2}}}};
  for (const auto& [key, value] : cases) {
    const ScratchFolder folder;
    WriteChanged(folder.path(), key, value);
    const auto lora = LoadAdapter(*model, folder.path());
    ASSERT_FALSE(lora.ok()) << key;
    EXPECT_EQ(lora.error().code, Code::kUnsupported);
    EXPECT_EQ(lora.error().message, "'" + (folder / "adapter_config.json").string() + "': " + key + " is " +
                                        value.dump() + ", which genflow does not compute");
  }
  const ScratchFolder pissa;
  WriteChanged(pissa.path(), "init_lora_weights", "pissa_niter_4");
  const auto changed_base = LoadAdapter(*model, pissa.path());
  ASSERT_FALSE(changed_base.ok());
  EXPECT_EQ(changed_base.error().ToString(),
            "'" + (pissa / "adapter_config.json").string() +
                "': init_lora_weights is \"pissa_niter_4\", which changes the base weights that the adapter "
                "belongs to\n"
                "  hint: convert it with PEFT: save_pretrained(..., "
                "path_initial_model_for_weight_conversion=...)");
  for (const json& plain : {json(), json(false), json("gaussian")}) {
    const ScratchFolder folder;
    WriteChanged(folder.path(), "init_lora_weights", plain);
    EXPECT_TRUE(LoadAdapter(*model, folder.path()).ok()) << plain;
  }
  const ScratchFolder other;
  WriteChanged(other.path(), "peft_type", "IA3");
  EXPECT_EQ(LoadAdapter(*model, other.path()).error().message,
            "'" + (other / "adapter_config.json").string() + "': peft_type is \"IA3\", expected \"LORA\"");
}

TEST(Adapter, RefusesTensorsThatDoNotFit) {
  const auto model = TinyModel();
  const ScratchFolder rank;
  WriteChanged(rank.path(), "r", 5);
  const auto misshapen = LoadAdapter(*model, rank.path());
  ASSERT_FALSE(misshapen.ok());
  EXPECT_EQ(
      misshapen.error().message,
      "'" + (rank / "adapter_model.safetensors").string() +
          "': tensor 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight' has shape [4, 48], "
          "expected [5, 48]");
  const ScratchFolder fewer;
  WriteChanged(fewer.path(), "target_modules", {"q_proj"});
  const auto extra = LoadAdapter(*model, fewer.path());
  ASSERT_FALSE(extra.ok());
  EXPECT_EQ(extra.error().message,
            "'" + (fewer / "adapter_model.safetensors").string() +
                "': tensor 'base_model.model.model.layers.0.mlp.down_proj.lora_A.weight' has no place in the "
                "model");
  // What was refused leaves the model as it was.
  model->ForEachLinear([](const std::string& name, Linear& linear) { EXPECT_FALSE(linear.lora) << name; });
}

TEST(Lora, TheFirstPatternThatMatchesCounts) {
  LoraConfig config;
  config.alpha_pattern = {{"q_proj", 16}, {"layers\\.0\\.self_attn\\.q_proj", 4}};
  config.rank_pattern = {{"layers\\.0\\.self_attn\\.q_proj", 2}, {"q_proj", 4}};
  const auto rank = RankOf(config, "model.layers.0.self_attn.q_proj");
  ASSERT_TRUE(rank.ok());
  EXPECT_EQ(rank->r, 2);
  EXPECT_EQ(rank->scaling, 8);
}

TEST(Lora, RefusesRanksAndAlphasOutOfRange) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_proj"};
  config.rank_pattern = {{"q_proj", 4}, {"up_proj", 0}};
  EXPECT_EQ(AttachLora(*model, config, true).error().message,
            "lora.rank_pattern gives 'up_proj' the rank 0, expected 1 to 65536");
  config.rank_pattern.clear();
  config.alpha_pattern = {{"q_proj", -1}};
  EXPECT_EQ(AttachLora(*model, config, true).error().message,
            "lora.alpha_pattern 'q_proj' must be greater than 0");
}

TEST(Adapter, RefusesAFileCutShort) {
  const auto model = TinyModel();
  const ScratchFolder scratch;
  const fs::path& folder = scratch.path();
  WriteChanged(folder, "r", 4);
  const auto size = fs::file_size(folder / "adapter_model.safetensors");
  for (const auto keep : {size - 1, size / 2, uintmax_t{7}, uintmax_t{0}}) {
    fs::resize_file(folder / "adapter_model.safetensors", keep);
    EXPECT_FALSE(LoadAdapter(*model, folder).ok()) << keep;
  }
}

TEST(Lora, NamesTheProjectionsThatExist) {
  const auto model = TinyModel();
  LoraConfig config;
  config.target_modules.names = {"q_porj"};
  const auto typo = AttachLora(*model, config, true);
  ASSERT_FALSE(typo.ok());
  EXPECT_EQ(typo.error().message, "lora.target_modules 'q_porj' matches no projection of the model");
  EXPECT_EQ(typo.error().hint,
            "the model has down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj in layers such as "
            "'model.layers.0.self_attn.q_proj'; did you mean 'q_proj'?");
  config.target_modules.names = {"q_proj", "c_attn"};
  const auto partial = AttachLora(*model, config, true);
  ASSERT_FALSE(partial.ok());
  EXPECT_EQ(partial.error().message, "lora.target_modules 'c_attn' matches no projection of the model");
  config.target_modules = {{}, "q_proj"};
  const auto not_whole = AttachLora(*model, config, true);
  ASSERT_FALSE(not_whole.ok());
  EXPECT_EQ(not_whole.error().hint,
            "the model has down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj in layers such as "
            "'model.layers.0.self_attn.q_proj'; a name stands in a list: [q_proj]");
  config.target_modules = {};
  EXPECT_EQ(AttachLora(*model, config, true).error().ToString(),
            "lora.target_modules is empty\n  hint: use all-linear, or a list such as [q_proj, v_proj]");
  config.target_modules = {{}, "(unclosed"};
  const auto malformed = AttachLora(*model, config, true);
  ASSERT_FALSE(malformed.ok());
  EXPECT_EQ(malformed.error().message,
            "lora.target_modules: regular expression, column 10: missing closing parenthesis\n"
            "    (unclosed\n             ^");
  config.target_modules.pattern = "none";
  config.exclude_modules.pattern = "(unclosed";
  EXPECT_EQ(AttachLora(*model, config, true).error().message,
            "lora.exclude_modules: regular expression, column 10: missing closing parenthesis\n"
            "    (unclosed\n             ^");
}

TEST(Lora, InitialisesAsPeftFromTheSeedAlone) {
  const auto model = TinyModel();
  LoraConfig config;
  config.r = 16;
  config.target_modules = TargetModules::AllLinear();
  auto lora = AttachLora(*model, config, true);
  ASSERT_TRUE(lora.ok()) << lora.error().ToString();
  EXPECT_EQ(lora->modules().size(), 14u);
  ASSERT_TRUE(InitLora(*lora, 1).ok());
  const at::Tensor first = lora->flat().clone();
  for (const auto& module : lora->modules()) {
    const double bound = 1 / std::sqrt(static_cast<double>(module.a.size(1)));
    EXPECT_LE(module.a.abs().max().item<double>(), bound) << module.name;
    EXPECT_GE(module.a.abs().max().item<double>(), 0.95 * bound) << module.name;
    EXPECT_NEAR(module.a.mean().item<double>(), 0, 0.1 * bound) << module.name;
    EXPECT_NEAR(module.a.std().item<double>(), bound / std::sqrt(3.0), 0.1 * bound) << module.name;
    EXPECT_EQ(module.b.abs().max().item<double>(), 0) << module.name;
  }
  ASSERT_TRUE(InitLora(*lora, 2).ok());
  EXPECT_FALSE(at::equal(lora->flat(), first));
  ASSERT_TRUE(InitLora(*lora, 1).ok());
  EXPECT_TRUE(at::equal(lora->flat(), first));
  EXPECT_FALSE(at::equal(lora->modules()[0].a, lora->modules()[1].a)) << "modules differ";
}

}  // namespace
}  // namespace genflow::nn::train
