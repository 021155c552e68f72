// Against transformers' and gguf-py's reading of the same files: tests/parity/make_formats_fixtures.py.
#include "formats/model_source.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/files.h"
#include "base/sha256.h"
#include "formats/safetensors.h"
#include "testing/scratch.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kFixtures = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/";

std::vector<float> ReadFloats(const ModelSource& source, const std::string& name, int threads = 1) {
  std::vector<float> out(source.Find(name)->elements);
  const auto status = source.Read(name, DType::kF32, out.data(), threads);
  EXPECT_TRUE(status.ok()) << status.error().ToString();
  return out;
}

TEST(ModelSource, GgufTensorsEqualTheReference) {
  const auto source = ModelSource::Open(kFixtures + "tiny_llama.gguf");
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ(source->format(), ModelSource::Format::kGguf);
  const auto expected = SafetensorsFile::Open(kFixtures + "tiny_llama_gguf.safetensors");
  ASSERT_TRUE(expected.ok());
  EXPECT_EQ(source->tensors().size(), expected->tensors().size());
  for (const auto& tensor : expected->tensors()) {
    ASSERT_NE(source->Find(tensor.name), nullptr) << tensor.name;
    EXPECT_EQ(source->Find(tensor.name)->shape, tensor.shape);
    for (const int threads : {1, 3}) {
      EXPECT_EQ(std::memcmp(ReadFloats(*source, tensor.name, threads).data(), tensor.data, tensor.bytes), 0)
          << tensor.name << " " << source->Find(tensor.name)->stored_type;
    }
    for (const DType type : {DType::kF16, DType::kBF16}) {
      std::vector<uint16_t> read(tensor.elements), converted(tensor.elements);
      ASSERT_TRUE(source->Read(tensor.name, type, read.data()).ok());
      ConvertElements(tensor.data, DType::kF32, converted.data(), type, tensor.elements);
      EXPECT_EQ(read, converted) << tensor.name;
    }
  }
}

TEST(ModelSource, EveryTensorOfSmolLm2) {
  const auto source = ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ(source->parameter_count(), 134515008u);
  EXPECT_EQ(source->dominant_type(), "Q4_1");
  const json digests = json::parse(ReadFile(kFixtures + "smollm2_digests.json").value());
  ASSERT_EQ(digests.size(), source->tensors().size());
  std::vector<std::vector<float>> values;
  std::vector<ReadRequest> requests;
  for (const auto& tensor : source->tensors()) {
    values.emplace_back(tensor.elements);
    requests.push_back({tensor.name, DType::kF32, values.back().data()});
  }
  ASSERT_TRUE(source->ReadMany(requests).ok());
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::string_view bytes(reinterpret_cast<const char*>(values[i].data()), values[i].size() * 4);
    EXPECT_EQ(Sha256Hex(bytes).substr(0, 16), digests[std::string(requests[i].name)]) << requests[i].name;
  }
}

TEST(ModelSource, ConfigOfSmolLm2) {
  const auto source = ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(source->config(), json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1, "eos_token_id": 2, "head_dim": 64,
    "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536, "max_position_embeddings": 8192, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
    "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 100000.0, "tie_word_embeddings": true, "torch_dtype": "float32",
    "vocab_size": 49152})"));
}

TEST(ModelSource, HuggingFaceFolder) {
  const auto source = ModelSource::Open(kFixtures + "tiny_llama");
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ(source->format(), ModelSource::Format::kHuggingFace);
  EXPECT_EQ(source->model_type(), "llama");
  EXPECT_EQ(source->config()["rope_theta"], 10000.0);  // from rope_parameters
  EXPECT_EQ(source->config()["torch_dtype"], "float32");
  EXPECT_FALSE(source->config().contains("rope_scaling"));
  EXPECT_EQ(source->Find("lm_head.weight"), nullptr);
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const void* raw = source->Raw(name, DType::kF32);
  ASSERT_NE(raw, nullptr);
  EXPECT_EQ(source->Raw(name, DType::kF16), nullptr);
  EXPECT_EQ(source->Raw("nothing", DType::kF32), nullptr);
  const auto values = ReadFloats(*source, name);
  EXPECT_EQ(std::memcmp(values.data(), raw, values.size() * 4), 0);
  EXPECT_EQ(source->Read("nothing", DType::kF32, nullptr).error().message,
            kFixtures + "tiny_llama: has no tensor 'nothing'");
}

TEST(ModelSource, ShardedFolderInBrainFloat) {
  const auto source = ModelSource::Open(kFixtures + "tiny_qwen2");
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  EXPECT_EQ(source->dominant_type(), "BF16");
  EXPECT_EQ(source->config()["attention_bias"], true);
  EXPECT_EQ(source->config()["head_dim"], 8);
  const std::string name = "model.layers.0.self_attn.k_proj.bias";
  const auto* raw = static_cast<const uint16_t*>(source->Raw(name, DType::kBF16));
  ASSERT_NE(raw, nullptr);
  std::vector<float> expected(16);
  ConvertElements(raw, DType::kBF16, expected.data(), DType::kF32, 16);
  EXPECT_EQ(ReadFloats(*source, name), expected);
  EXPECT_NE(source->Find("lm_head.weight"), nullptr);
}

TEST(ModelSource, QAndKOfAGgufAreNotRaw) {
  const auto source = ModelSource::Open(kFixtures + "tiny_llama.gguf");
  ASSERT_TRUE(source.ok());
  for (const auto& tensor : source->tensors()) {
    const bool permuted =
        tensor.name.find("q_proj") != std::string::npos || tensor.name.find("k_proj") != std::string::npos;
    const bool plain = tensor.stored_type == "F32";
    EXPECT_EQ(source->Raw(tensor.name, DType::kF32) != nullptr, plain && !permuted) << tensor.name;
  }
}

std::string OpenError(const fs::path& path) {
  const auto source = ModelSource::Open(path);
  return source.ok() ? "opened" : source.error().message;
}

TEST(ModelSource, WhatIsNotAModel) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path();
  const std::string name = folder.string();
  EXPECT_EQ(OpenError(folder / "missing"), name + "/missing: no such file or folder");
  EXPECT_EQ(OpenError(folder), name + ": holds neither config.json nor a .gguf file");
  std::ofstream(folder / "a.txt") << "text";
  EXPECT_EQ(OpenError(folder / "a.txt"), name + "/a.txt: is not a GGUF file");
  fs::copy_file(kFixtures + "tiny_llama.gguf", folder / "a.gguf");
  EXPECT_EQ(OpenError(folder), "opened");
  std::ofstream(folder / "b.gguf") << "GGUF";
  EXPECT_EQ(OpenError(folder), name + ": holds 2 .gguf files");
  std::ofstream(folder / "config.json") << "{";
  EXPECT_EQ(OpenError(folder), name +
                                   "/config.json: not valid JSON: parse error at line 1, column 2: syntax "
                                   "error while parsing object key - unexpected "
                                   "end of input; expected string literal");
  std::ofstream(folder / "config.json") << "{}";
  EXPECT_EQ(OpenError(folder), name + "/config.json: has no 'model_type'");
  std::ofstream(folder / "config.json") << R"({"model_type": "llama", "hidden_size": "big"})";
  EXPECT_EQ(OpenError(folder), name + "/config.json: 'hidden_size' is missing or not a positive integer");
  std::ofstream(folder / "config.json")
      << R"({"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "rope_theta": "x"})";
  EXPECT_EQ(OpenError(folder), name + "/config.json: 'rope_theta' is \"x\", which is no number");
  std::ofstream(folder / "config.json") << R"({"model_type": "bert"})";
  EXPECT_EQ(OpenError(folder), name + ": has neither model.safetensors nor model.safetensors.index.json");
}

TEST(ModelSource, TokenizerOfAGgufIsTheOneItWasMadeFrom) {
  const auto made = ReadTokenizerFiles(kFixtures + "tiny_llama.gguf");
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  const auto original = ReadTokenizerFiles(kFixtures + "tiny_llama");
  ASSERT_TRUE(original.ok()) << original.error().ToString();
  auto all = made->WholeTokenizer();
  ASSERT_TRUE(all.ok()) << all.error().ToString();
  nlohmann::json& whole = *all;
  EXPECT_EQ(whole["model"]["merges"], original->tokenizer["model"]["merges"]);
  for (const auto& [token, id] : original->tokenizer["model"]["vocab"].items()) {
    EXPECT_EQ(whole["model"]["vocab"][token], id);
  }
  EXPECT_EQ(made->tokenizer["pre_tokenizer"], original->tokenizer["pre_tokenizer"]);
  EXPECT_EQ(made->tokenizer["added_tokens"], original->tokenizer["added_tokens"]);
  EXPECT_EQ(made->tokenizer_config["eos_token"], "<|endoftext|>");
  EXPECT_EQ(original->tokenizer_config["eos_token"], "<|endoftext|>");
}

}  // namespace
}  // namespace genflow::formats
