#include "formats/model_writer.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "formats/gguf.h"
#include "formats/gguf_model.h"
#include "formats/safetensors.h"
#include "testing/scratch.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::string kFixtures = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/formats/";

std::vector<float> ReadFloats(const ModelSource& source, const std::string& name) {
  std::vector<float> out(source.Find(name)->elements);
  EXPECT_TRUE(source.Read(name, DType::kF32, out.data()).ok());
  return out;
}

// Tensors of `written` are those of `base`, rounded to `type` (matrices) or F32.
void ExpectSameTensors(const ModelSource& base, const ModelSource& written, DType matrices, DType vectors) {
  ASSERT_EQ(base.tensors().size(), written.tensors().size());
  for (const auto& tensor : base.tensors()) {
    ASSERT_NE(written.Find(tensor.name), nullptr) << tensor.name;
    EXPECT_EQ(written.Find(tensor.name)->shape, tensor.shape);
    const DType type = tensor.shape.size() > 1 ? matrices : vectors;
    std::vector<float> expected = ReadFloats(base, tensor.name);
    std::vector<uint32_t> rounded(expected.size());
    ConvertElements(expected.data(), DType::kF32, rounded.data(), type, expected.size());
    ConvertElements(rounded.data(), type, expected.data(), DType::kF32, expected.size());
    EXPECT_EQ(ReadFloats(written, tensor.name), expected) << tensor.name;
  }
}

TEST(ModelWriter, FolderToGgufAndBack) {
  const ScratchFolder scratch;
  for (const char* name : {"tiny_llama", "tiny_qwen2"}) {
    const auto base = ModelSource::Open(kFixtures + name);
    ASSERT_TRUE(base.ok()) << base.error().ToString();
    if (std::string(name) == "tiny_qwen2") {
      EXPECT_EQ(WriteGgufModel(scratch / "q.gguf", CopyOf(*base)).error().message,
                kFixtures + "tiny_qwen2: has no tokenizer.json");
      continue;
    }
    const std::string file = scratch / "m.gguf", folder = scratch / "back";
    ASSERT_TRUE(WriteGgufModel(file, CopyOf(*base), {.type = GgufType::kF16, .name = "tiny"}).ok());
    const auto gguf = ModelSource::Open(file);
    ASSERT_TRUE(gguf.ok()) << gguf.error().ToString();
    ExpectSameTensors(*base, *gguf, DType::kF16, DType::kF32);
    for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                            "head_dim", "intermediate_size", "rope_theta", "rms_norm_eps", "vocab_size",
                            "max_position_embeddings", "tie_word_embeddings", "eos_token_id"}) {
      EXPECT_EQ(gguf->config()[key], base->config()[key]) << key;
    }
    const auto written = WriteHuggingFaceModel(folder, CopyOf(*gguf), DType::kBF16);
    ASSERT_TRUE(written.ok()) << written.error().ToString();
    const auto back = ModelSource::Open(folder);
    ASSERT_TRUE(back.ok()) << back.error().ToString();
    ExpectSameTensors(*gguf, *back, DType::kBF16, DType::kBF16);
    EXPECT_EQ(back->config()["torch_dtype"], "bfloat16");
  }
}

TEST(ModelWriter, PermutesAsLlamaCppDoes) {
  const auto base = ModelSource::Open(kFixtures + "tiny_llama");
  ASSERT_TRUE(base.ok());
  const ScratchFolder scratch;
  const std::string path = scratch / "permuted.gguf";
  ASSERT_TRUE(WriteGgufModel(path, CopyOf(*base), {.type = GgufType::kF32, .name = ""}).ok());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok());
  const auto* stored = reinterpret_cast<const float*>(file->FindTensor("blk.1.attn_k.weight")->data);
  const auto rows = ReadFloats(*base, "model.layers.1.self_attn.k_proj.weight");
  // Two heads of 16 rows: the file interleaves the two halves of each.
  for (int64_t row = 0; row < 32; ++row) {
    const int64_t head = row / 16, half = row % 16 / 8, inside = row % 8;
    const int64_t at = head * 16 + inside * 2 + half;
    EXPECT_EQ(GgufRow(row, 16), at);
    EXPECT_EQ(std::vector<float>(stored + at * 64, stored + at * 64 + 64),
              std::vector<float>(rows.begin() + row * 64, rows.begin() + row * 64 + 64));
  }
  EXPECT_EQ(file->Int("general.file_type"), 0);
  EXPECT_EQ(file->String("general.name"), "tiny_llama");
}

TEST(ModelWriter, SameInputsSameBytes) {
  const auto base = ModelSource::Open(kFixtures + "tiny_llama.gguf");
  ASSERT_TRUE(base.ok());
  const ScratchFolder scratch;
  const std::string a = scratch / "a", b = scratch / "b";
  for (const auto& folder : {a, b}) {
    ASSERT_TRUE(WriteHuggingFaceModel(folder, CopyOf(*base), DType::kF32).ok());
    ASSERT_TRUE(
        WriteGgufModel(folder + "/m.gguf", CopyOf(*base), {.type = GgufType::kF16, .name = "x"}).ok());
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(a)) {
    names.push_back(entry.path().filename());
    EXPECT_EQ(ReadFile(entry.path()).value(), ReadFile(fs::path(b) / names.back()).value()) << names.back();
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names,
            (std::vector<std::string>{"config.json", "generation_config.json", "m.gguf", "model.safetensors",
                                      "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"}));
}

TEST(ModelWriter, CopiesTokenizerFilesOfAFolder) {
  const auto base = ModelSource::Open(kFixtures + "tiny_llama");
  ASSERT_TRUE(base.ok());
  const ScratchFolder scratch;
  const std::string folder = scratch / "copied";
  ASSERT_TRUE(WriteHuggingFaceModel(folder, CopyOf(*base), DType::kF16).ok());
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    EXPECT_EQ(ReadFile(folder + "/" + name).value(), ReadFile(kFixtures + "tiny_llama/" + name).value())
        << name;
  }
  json expected = json::parse(ReadFile(kFixtures + "tiny_llama/config.json").value());
  expected["dtype"] = "float16";
  EXPECT_EQ(json::parse(ReadFile(folder + "/config.json").value()), expected);
}

// SmolLM2's tokenizer and template survive GGUF -> Hugging Face folder -> GGUF.
TEST(ModelWriter, TokenizerOfSmolLm2) {
  const auto base = ModelSource::Open(GENFLOW_SMOLLM2_GGUF);
  ASSERT_TRUE(base.ok());
  const auto files = base->ReadTokenizerFiles();
  ASSERT_TRUE(files.ok());
  GgufWriter writer;
  ASSERT_TRUE(TokenizerToGguf(*files, base->config(), 49152, &writer).ok());
  writer.Set("general.architecture", "llama");
  const ScratchFolder scratch;
  const std::string path = scratch / "vocabulary.gguf";
  ASSERT_TRUE(writer.Begin(path).ok() && writer.Finish().ok());
  const auto original = GgufFile::Open(GENFLOW_SMOLLM2_GGUF), written = GgufFile::Open(path);
  ASSERT_TRUE(original.ok() && written.ok());
  int compared = 0;
  for (const auto& [key, value] : original->metadata()) {
    if (!key.starts_with("tokenizer.")) continue;
    ASSERT_NE(written->Find(key), nullptr) << key;
    EXPECT_TRUE(*written->Find(key) == value) << key;
    ++compared;
  }
  EXPECT_EQ(compared, 12);
}

TEST(ModelWriter, RefusesAVocabularyThatHoldsATokenTwice) {
  TokenizerFiles files;
  files.tokenizer = {{"model", {{"type", "BPE"}}}};
  files.pieces = BpePieces{.vocab = {{"a", 0}, {"b", 1}, {"a", 2}}, .merges = {}, .owner = nullptr};
  GgufWriter writer;
  EXPECT_EQ(TokenizerToGguf(files, json::object(), 3, &writer).error().message,
            "token 2 has the text of an earlier one");
}

TEST(ModelWriter, RefusesATokenizerThatLlamaCppLacks) {
  const auto base = ModelSource::Open(kFixtures + "tiny_llama");
  auto files = base->ReadTokenizerFiles();
  ASSERT_TRUE(files.ok());
  GgufWriter writer;
  EXPECT_EQ(TokenizerToGguf(*files, base->config(), 300, &writer).error().message.substr(0, 6), "token ");
  files->tokenizer["pre_tokenizer"] = {{"type", "Whitespace"}};
  EXPECT_EQ(TokenizerToGguf(*files, base->config(), 904, &writer).error().message,
            "this tokenizer has no counterpart in llama.cpp: its pre-tokenizer is {\"type\":\"Whitespace\"}, "
            "without 'ignore_merges'");
}

TEST(ModelWriter, PreTokenizersHaveTheirNames) {
  for (const auto& [name, expected] :
       std::vector<std::pair<std::string, std::string>>{{"gpt2", "gpt-2"},
                                                        {"llama3", "llama-bpe"},
                                                        {"qwen2", "qwen2"},
                                                        {"gpt4o", "gpt-4o"},
                                                        {"gpt2_prefix_space", ""},
                                                        {"digit_runs", ""}}) {
    const json file = json::parse(
        ReadFile(GENFLOW_SOURCE_DIR "/tests/parity/fixtures/text/tokenizers/" + name + ".json").value());
    const bool ignore_merges = file["model"]["ignore_merges"];
    EXPECT_EQ(GgufPreTokenizer(file["pre_tokenizer"], ignore_merges).value_or(""), expected) << name;
    // llama.cpp ties to the name whether a piece that is a token is taken whole.
    EXPECT_EQ(GgufPreTokenizer(file["pre_tokenizer"], !ignore_merges).value_or(""),
              name == "llama3" ? "smaug-bpe" : "")
        << name;
  }
}

TEST(ModelWriter, AFailingFillerStopsTheWrite) {
  const auto base = ModelSource::Open(kFixtures + "tiny_llama");
  const TensorFiller fail = [](std::string_view name, DType, void*, size_t) {
    return Status(InvalidError("cannot fill " + std::string(name)));
  };
  const ScratchFolder scratch;
  EXPECT_EQ(WriteHuggingFaceModel(scratch / "failed", {*base, fail}, DType::kF32).error().message,
            "cannot fill model.embed_tokens.weight");
  EXPECT_EQ(WriteGgufModel(scratch / "failed.gguf", {*base, fail}).error().message.substr(0, 12),
            "cannot fill ");
}

TEST(ModelWriter, FullDiskIsAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  SafetensorsWriter writer;
  writer.AddTensor("a", {1}, DType::kF32);
  const auto begun = writer.Begin("/dev/full");
  ASSERT_FALSE(begun.ok());
  EXPECT_EQ(begun.error().code, Code::kExhausted);
  EXPECT_EQ(begun.error().message, "/dev/full: write: No space left on device");
  GgufWriter gguf;
  gguf.AddTensor("a", {1}, GgmlType::kF32);
  const Status header = gguf.Begin("/dev/full");
  ASSERT_FALSE(header.ok());
  EXPECT_EQ(header.error().code, Code::kExhausted);
  EXPECT_EQ(header.error().message, "/dev/full: write: No space left on device");
}

}  // namespace
}  // namespace genflow::formats
