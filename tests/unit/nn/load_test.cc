#include <c10/core/InferenceMode.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

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

// Kilobytes of this process's memory, of the kind that /proc/self/status calls so.
int64_t Resident(const std::string& kind) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(kind + ":")) return std::atoll(line.c_str() + kind.size() + 1);
  }
  return -1;
}

// A model of some size whose weights are stored in bf16; 96 MiB, most of it in its layers.
void WriteBigModel(const std::filesystem::path& folder) {
  const int64_t hidden = 1024, intermediate = 4096, layers = 3, vocab = 2048;
  std::ofstream(folder / "config.json")
      << R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024, )"
      << R"("intermediate_size": 4096, "num_hidden_layers": 3, "num_attention_heads": 16, )"
      << R"("num_key_value_heads": 4, "head_dim": 64, "vocab_size": 2048, "max_position_embeddings": 512, )"
      << R"("rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu"})";
  formats::SafetensorsWriter writer;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    writer.AddTensor(name, std::move(shape), formats::DType::kBF16);
  };
  add("model.embed_tokens.weight", {vocab, hidden});
  add("model.norm.weight", {hidden});
  for (int64_t layer = 0; layer < layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const char* name : {"input_layernorm.weight", "post_attention_layernorm.weight"})
      add(prefix + name, {hidden});
    add(prefix + "self_attn.q_proj.weight", {1024, hidden});
    add(prefix + "self_attn.k_proj.weight", {256, hidden});
    add(prefix + "self_attn.v_proj.weight", {256, hidden});
    add(prefix + "self_attn.o_proj.weight", {hidden, 1024});
    add(prefix + "mlp.gate_proj.weight", {intermediate, hidden});
    add(prefix + "mlp.up_proj.weight", {intermediate, hidden});
    add(prefix + "mlp.down_proj.weight", {hidden, intermediate});
  }
  const auto names = writer.Begin(folder / "model.safetensors");
  ASSERT_TRUE(names.ok());
  std::mt19937 random(1);
  for (const auto& name : *names) {
    const int64_t rows =
        name.find("norm") != std::string::npos                                                 ? 1
        : name.find("embed") != std::string::npos                                              ? vocab
        : name.find("gate") != std::string::npos || name.find("up_proj") != std::string::npos  ? intermediate
        : name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos ? 256
                                                                                               : 1024;
    const int64_t columns = name.find("down") != std::string::npos ? intermediate : hidden;
    std::vector<uint16_t> values(static_cast<size_t>(rows * columns));
    for (auto& value : values)
      value = static_cast<uint16_t>((random() & 0x8000) | 0x3c00 | (random() & 0x7f));
    ASSERT_TRUE(writer.WriteTensor(values.data(), values.size() * 2).ok());
  }
  ASSERT_TRUE(writer.Finish().ok());
}

TEST(Load, WeightsThatAreOnlyReadStayInTheFile) {
  const ScratchFolder scratch;
  WriteBigModel(scratch.path());
  const auto source = formats::ModelSource::Open(scratch.path());
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const int64_t weights_kb = static_cast<int64_t>(source->parameter_count()) * 2 / 1024;
  ASSERT_GT(weights_kb, 80 << 10);
  LoadOptions options;
  options.dtype = at::kBFloat16;
  const auto copied = LoadCausalLM(*source, options);
  ASSERT_TRUE(copied.ok()) << copied.error().ToString();
  const int64_t before = Resident("RssAnon"), files_before = Resident("RssFile");
  options.read_only = true;
  auto mapped = LoadCausalLM(*source, options);
  ASSERT_TRUE(mapped.ok()) << mapped.error().ToString();
  EXPECT_LT(Resident("RssAnon") - before, 4 << 10);
  // Both compute the same, from the same bytes.
  const std::vector<std::vector<int32_t>> tokens = {{1, 2, 3, 4, 5, 6, 7, 8}};
  const c10::InferenceMode inference;
  const Batch batch = PackSequences(tokens, at::kCPU);
  const at::Tensor a = (*mapped)->Logits((*mapped)->Hidden(batch));
  const at::Tensor b = (*copied)->Logits((*copied)->Hidden(batch));
  EXPECT_TRUE(at::equal(a, b));
  EXPECT_GT(Resident("RssFile") - files_before, weights_kb * 8 / 10);
  EXPECT_LT(Resident("RssAnon") - before, 24 << 10);
  // Its pages go with it; those of libtorch's code that ran meanwhile stay.
  mapped->reset();
  EXPECT_LT(Resident("RssFile") - files_before, weights_kb / 4);
}

TEST(Load, PagesThatWereReadAreGivenBack) {
  const ScratchFolder scratch;
  WriteBigModel(scratch.path());
  const auto source = formats::ModelSource::Open(scratch.path());
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const int64_t files_before = Resident("RssFile");
  const auto model = LoadCausalLM(*source, {});  // converted to fp32
  ASSERT_TRUE(model.ok()) << model.error().ToString();
  EXPECT_LT(Resident("RssFile") - files_before, 8 << 10);
  // What was given back is read again where it is wanted.
  std::vector<float> norm(1024);
  ASSERT_TRUE(source->Read("model.norm.weight", formats::DType::kF32, norm.data(), 1).ok());
  EXPECT_TRUE(at::equal(at::from_blob(norm.data(), {1024}), (*model)->norm.weight));
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
