// Against llama.cpp's own quantiser: tests/parity/make_quantization_fixtures.py.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "base/files.h"
#include "base/sha256.h"
#include "formats/gguf.h"
#include "formats/gguf_quantization.h"
#include "formats/model_writer.h"
#include "formats/safetensors.h"
#include "testing/scratch.h"

namespace genflow::formats {
namespace {

using nlohmann::json;

const json& Fixture() {
  static const json fixture =
      json::parse(ReadFile(GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/quantization.json").value());
  return fixture;
}

TEST(Quantization, TheMixtureIsLlamaCpps) {
  size_t compared = 0;
  for (const auto& model : Fixture()["models"]) {
    GgufLayout layout;
    layout.layers = model["layers"];
    layout.tied = model["tied"];
    layout.shared_v = model["layers"] == 80 && model["heads"] != model["kv_heads"];
    for (const auto& [name, entry] : model["types"].items()) {
      const std::vector<int64_t> shape = {entry[0], entry[1]};
      EXPECT_EQ(GgmlTypeName(TensorType(GgufType::kQ4_K_M, name, shape, layout)), entry[2])
          << model["name"] << " " << name;
      ++compared;
    }
  }
  EXPECT_GT(compared, 1000u);
}

TEST(Quantization, OtherTypesAreOneTypeButForVectorsAndRowsThatDoNotFit) {
  EXPECT_EQ(TensorType(GgufType::kQ8_0, "blk.0.ffn_up.weight", {8, 64}, {}), GgmlType::kQ8_0);
  EXPECT_EQ(TensorType(GgufType::kQ8_0, "blk.0.ffn_up.weight", {8, 80}, {}), GgmlType::kF16);
  EXPECT_EQ(TensorType(GgufType::kBF16, "blk.0.ffn_up.weight", {8, 80}, {}), GgmlType::kBF16);
  EXPECT_EQ(TensorType(GgufType::kBF16, "blk.0.attn_q.bias", {8}, {}), GgmlType::kF32);
  EXPECT_EQ(TensorType(GgufType::kF16, "output_norm.weight", {8}, {}), GgmlType::kF32);
}

TEST(Quantization, TypesHaveLlamaCppsNames) {
  for (const char* name : {"f32", "f16", "bf16", "q8_0", "q4_k_m"}) {
    const auto type = ParseGgufType(name);
    ASSERT_TRUE(type.has_value()) << name;
    EXPECT_EQ(GgufTypeName(*type), name);
  }
  EXPECT_EQ(ParseGgufType("Q4_K_M"), GgufType::kQ4_K_M);
  EXPECT_EQ(ParseGgufType("q4_k"), std::nullopt);
  EXPECT_EQ(GgufFileType(GgufType::kQ4_K_M), 15u);
  EXPECT_EQ(GgufFileType(GgufType::kBF16), 32u);
}

// The fixture's numbers: a hash of the name and the index.
std::vector<float> Numbers(const std::string& name, size_t count) {
  const std::string digest = Sha256Hex(name);
  uint32_t seed = 0;
  for (int byte = 3; byte >= 0; --byte)
    seed = seed << 8 |
           static_cast<uint32_t>(std::stoul(digest.substr(static_cast<size_t>(byte) * 2, 2), nullptr, 16));
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 2654435761u + seed;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    out[i] = (static_cast<float>(h & 0xffff) - 32768.0f) * 0x1p-19f;
  }
  return out;
}

// The fixture's model as a GGUF in F32, without a tokenizer.
void WriteTiny(const std::string& path) {
  const json& tiny = Fixture()["tiny"];
  const int64_t hidden = tiny["hidden"], ffn = tiny["ffn"], heads = tiny["heads"],
                kv_heads = tiny["kv_heads"], vocab = tiny["vocab"], kv = hidden / heads * kv_heads;
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors = {{"token_embd.weight", {vocab, hidden}},
                                                                       {"output_norm.weight", {hidden}}};
  for (int64_t layer = 0; layer < tiny["layers"]; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    for (const auto& [name, shape] :
         std::vector<std::pair<std::string, std::vector<int64_t>>>{{"attn_norm", {hidden}},
                                                                   {"attn_q", {hidden, hidden}},
                                                                   {"attn_k", {kv, hidden}},
                                                                   {"attn_v", {kv, hidden}},
                                                                   {"attn_output", {hidden, hidden}},
                                                                   {"ffn_norm", {hidden}},
                                                                   {"ffn_gate", {ffn, hidden}},
                                                                   {"ffn_up", {ffn, hidden}},
                                                                   {"ffn_down", {hidden, ffn}}}) {
      tensors.emplace_back(block + name + ".weight", shape);
    }
  }
  GgufWriter writer;
  writer.Set("general.architecture", "llama");
  writer.Set("general.license", "mit");
  for (const auto& [key, value] :
       std::map<std::string, int64_t>{{"llama.context_length", 128},
                                      {"llama.embedding_length", hidden},
                                      {"llama.block_count", tiny["layers"]},
                                      {"llama.feed_forward_length", ffn},
                                      {"llama.attention.head_count", heads},
                                      {"llama.attention.head_count_kv", kv_heads}}) {
    writer.SetU32(key, static_cast<uint32_t>(value));
  }
  writer.SetF32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.SetU32("general.file_type", 0);
  for (const auto& [name, shape] : tensors) writer.AddTensor(name, shape, GgmlType::kF32);
  ASSERT_TRUE(writer.Begin(path).ok());
  for (const auto& [name, shape] : tensors) {
    const auto values = Numbers(name, static_cast<size_t>(shape[0] * (shape.size() > 1 ? shape[1] : 1)));
    ASSERT_TRUE(writer.WriteTensor(values.data(), values.size() * sizeof(float)).ok());
  }
  ASSERT_TRUE(writer.Finish().ok());
}

TEST(Quantization, BytesAreLlamaCpps) {
  const ScratchFolder scratch;
  WriteTiny(scratch / "f32.gguf");
  const auto base = ModelSource::Open(scratch / "f32.gguf");
  ASSERT_TRUE(base.ok()) << base.error().ToString();
  for (const GgufType type : {GgufType::kQ8_0, GgufType::kQ4_K_M}) {
    const std::string name(GgufTypeName(type)), path = scratch / (name + ".gguf");
    const auto written = WriteGgufModel(path, CopyOf(*base), {.type = type, .name = ""});
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    const auto file = GgufFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.error().ToString();
    const json& expected = Fixture()["tensors"][name];
    ASSERT_EQ(file->tensors().size(), expected.size());
    for (const auto& tensor : file->tensors()) {
      ASSERT_TRUE(expected.contains(tensor.name)) << tensor.name;
      EXPECT_EQ(GgmlTypeName(tensor.type), expected[tensor.name][0]) << tensor.name;
      EXPECT_EQ(Sha256Hex({reinterpret_cast<const char*>(tensor.data), tensor.bytes}),
                expected[tensor.name][1])
          << name << " " << tensor.name;
    }
    // What the file says of itself stays, but for how it is stored.
    EXPECT_EQ(file->String("general.license"), "mit");
    EXPECT_EQ(file->Int("general.file_type"), GgufFileType(type));
    EXPECT_EQ(file->Int("general.quantization_version"), 2);
    EXPECT_EQ(file->Int("llama.context_length"), 128);
  }
}

TEST(Quantization, RefusesNumbersWithoutACode) {
  std::vector<float> values(256, 1.0f);
  std::vector<std::byte> out(256);
  values[200] = std::numeric_limits<float>::infinity();
  const auto refused = QuantizeRows(GgmlType::kQ4_K, values.data(), 1, 256, out.data());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "holds a NaN or an infinity, which Q4_K has no code for");
  EXPECT_EQ(QuantizeRows(GgmlType::kQ4_K, values.data(), 1, 250, out.data()).error().message,
            "a row of 250 elements is not whole Q4_K blocks of 256");

  const auto base = ModelSource::Open(GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/tiny_llama");
  ASSERT_TRUE(base.ok());
  const TensorFiller nan = [](std::string_view, DType type, void* to, size_t bytes) {
    std::vector<float> values(bytes / DTypeSize(type), std::nanf(""));
    ConvertElements(values.data(), DType::kF32, to, type, values.size());
    return Ok();
  };
  const ScratchFolder scratch;
  const auto written =
      WriteGgufModel(scratch / "nan.gguf", {*base, nan}, {.type = GgufType::kQ8_0, .name = ""});
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().message,
            "tensor 'model.embed_tokens.weight' holds a NaN or an infinity, which Q8_0 has no code for");
}

}  // namespace
}  // namespace genflow::formats
