#include <filesystem>

#include "fixtures.h"
#include "nn/device.h"
#include "testing/scratch.h"

namespace genflow::nn {
namespace {

// Writes a copy of a tiny model, with its tensors changed by `edit`, into a folder.
template <class Edit>
void WriteEditedModel(const std::filesystem::path& folder, const std::string& fixture, const Edit& edit) {
  std::filesystem::copy_file(FixturePath(fixture) / "config.json", folder / "config.json");
  const auto file = formats::SafetensorsFile::Open(FixturePath(fixture) / "model.safetensors");
  EXPECT_TRUE(file.ok()) << file.error().ToString();
  std::vector<formats::TensorView> tensors;
  for (const auto& tensor : file->tensors()) {
    tensors.push_back({tensor.name, tensor.shape, formats::DType::kF32, tensor.data});
  }
  edit(tensors);
  const Status status = formats::WriteSafetensors(folder / "model.safetensors", tensors);
  EXPECT_TRUE(status.ok()) << status.error().ToString();
}

Error LoadError(const std::filesystem::path& folder) {
  const auto source = formats::ModelSource::Open(folder);
  if (!source.ok()) return source.error();
  const auto model = LoadCausalLM(*source, {});
  return model.ok() ? Error{Code::kInternal, "loaded", ""} : model.error();
}

TEST(Load, MissingTensor) {
  const ScratchFolder scratch;
  WriteEditedModel(scratch.path(), "tiny_gqa_tied", [](auto& tensors) {
    std::erase_if(tensors, [](const auto& t) { return t.name == "model.layers.1.mlp.up_proj.weight"; });
  });
  const Error error = LoadError(scratch.path());
  EXPECT_EQ(error.code, Code::kCorrupt);
  EXPECT_EQ(error.ToString(),
            "model " + scratch.path().string() +
                " has no tensor 'model.layers.1.mlp.up_proj.weight', which its config asks for\n"
                "  hint: download the model again, or correct its config.json");
}

TEST(Load, MisshapenTensor) {
  const ScratchFolder scratch;
  WriteEditedModel(scratch.path(), "tiny_gqa_tied", [](auto& tensors) {
    for (auto& tensor : tensors) {
      if (tensor.name == "model.layers.0.self_attn.k_proj.weight") tensor.shape = {48, 16};
    }
  });
  const Error error = LoadError(scratch.path());
  EXPECT_EQ(error.code, Code::kCorrupt);
  EXPECT_EQ(error.ToString(),
            "model " + scratch.path().string() +
                ": tensor 'model.layers.0.self_attn.k_proj.weight' has shape [48, 16], its config "
                "asks for [16, 48]\n"
                "  hint: download the model again, or correct its config.json");
}

TEST(Load, ForeignTensor) {
  const ScratchFolder scratch;
  WriteEditedModel(scratch.path(), "tiny_gqa_tied", [](auto& tensors) {
    auto extra = tensors.front();
    extra.name = "model.layers.0.self_attn.q_norm.weight";
    tensors.push_back(extra);
  });
  const Error error = LoadError(scratch.path());
  EXPECT_EQ(error.code, Code::kUnsupported);
  EXPECT_EQ(error.ToString(),
            "model " + scratch.path().string() +
                " holds tensor 'model.layers.0.self_attn.q_norm.weight', which LlamaForCausalLM does "
                "not have\n"
                "  hint: the model may be of another architecture than its config.json says");
}

TEST(Load, OldRotaryBuffersAndATiedHeadAreIgnored) {
  const ScratchFolder scratch;
  WriteEditedModel(scratch.path(), "tiny_gqa_tied", [](auto& tensors) {
    auto buffer = tensors.front();
    buffer.name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    auto head = tensors.front();
    for (const auto& tensor : tensors) {
      if (tensor.name == "model.embed_tokens.weight") head = tensor;
    }
    head.name = "lm_head.weight";
    tensors.push_back(buffer);
    tensors.push_back(head);
  });
  EXPECT_EQ(LoadError(scratch.path()).message, "loaded");
}

TEST(Load, CanBeStopped) {
  const auto source = formats::ModelSource::Open(FixturePath("tiny_gqa_tied"));
  ASSERT_TRUE(source.ok());
  LoadOptions options;
  int64_t seen = 0, total = 0;
  options.progress = [&](int64_t done, int64_t all) {
    seen = done;
    total = all;
    return done < 3;
  };
  const auto model = LoadCausalLM(*source, options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, Code::kInterrupted);
  EXPECT_EQ(model.error().message, "loading model " + FixturePath("tiny_gqa_tied").string() + " was stopped");
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(total, 20);
}

TEST(Load, WeightsNeedNoGradient) {
  const auto model = LoadTiny("tiny_linear_bias");
  ASSERT_NE(model, nullptr);
  for (const auto& [name, weight] : model->NamedWeights()) {
    EXPECT_FALSE(weight->requires_grad()) << name;
    EXPECT_EQ(weight->scalar_type(), at::kFloat) << name;
  }
}

}  // namespace
}  // namespace genflow::nn
