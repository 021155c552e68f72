// Ids against Hugging Face tokenizers: tests/parity/make_tokenizer_fixtures.py.
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "text/unicode.h"

namespace genflow::text {
namespace {

using nlohmann::json;

const std::string kFixtures = GENFLOW_SOURCE_DIR "/tests/parity/fixtures/text/";

const json& Cases() {
  static const json cases = json::parse(ReadFile(kFixtures + "tokenizer_cases.json").value());
  return cases;
}

std::string ReadGzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  std::string out;
  char buffer[1 << 16];
  for (int n = 0; file != nullptr && (n = gzread(file, buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<size_t>(n));
  gzclose(file);
  return out;
}

Tokenizer Load(const std::string& name) {
  auto tokenizer = name == "smollm2" ? Tokenizer::FromModel(GENFLOW_SMOLLM2_GGUF)
                                     : Tokenizer::FromJson(json::parse(ReadFile(kFixtures + "tokenizers/" + name + ".json").value()));
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().ToString();
  return std::move(tokenizer).value();
}

class TokenizerParity : public testing::TestWithParam<const char*> {
 protected:
  const json& expected() const { return Cases()["tokenizers"][GetParam()]; }
};

TEST_P(TokenizerParity, HandMadeCases) {
  const Tokenizer tokenizer = Load(GetParam());
  EXPECT_EQ(tokenizer.vocab_size(), expected()["vocab_size"].get<int>());
  const auto& texts = Cases()["cases"];
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i];
    SCOPED_TRACE(json(text).dump(-1, ' ', true));
    const std::vector<int32_t> ids = tokenizer.Encode(text, {.parse_special = true});
    EXPECT_EQ(json(ids).dump(), expected()["special"][i].dump());
    EXPECT_EQ(json(tokenizer.Encode(text)).dump(), expected()["plain"][i].dump());
    EXPECT_EQ(ReplaceInvalidUtf8(tokenizer.Decode(ids, {.skip_special = true})), expected()["decoded"][i].get<std::string>());
    EXPECT_EQ(json(tokenizer.EncodeRendered(text, {{0, text.size()}})).dump(), expected()["plain"][i].dump());
  }
  for (size_t i = 0; i < expected()["with_added"].size(); ++i) {
    EXPECT_EQ(json(tokenizer.Encode(texts[i].get<std::string>(), {.parse_special = true, .add_special = true})).dump(),
              expected()["with_added"][i].dump());
  }
}

TEST_P(TokenizerParity, InvalidUtf8BecomesReplacementCharacters) {
  const Tokenizer tokenizer = Load(GetParam());
  const auto& texts = Cases()["invalid"];
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string hex = texts[i];
    std::string text;
    for (size_t at = 0; at < hex.size(); at += 2) text.push_back(static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16)));
    EXPECT_EQ(json(tokenizer.Encode(text)).dump(), expected()["invalid"][i].dump()) << hex;
  }
}

TEST_P(TokenizerParity, TenThousandLines) {
  const Tokenizer tokenizer = Load(GetParam());
  const std::string all = ReadGzip(kFixtures + "lines.txt.gz");
  const auto lines = Split(all, '\n');
  ASSERT_EQ(lines.size(), 10000u);
  size_t tokens = 0;
  for (size_t begin = 0; begin < lines.size(); begin += 100) {
    std::vector<int32_t> ids;
    for (size_t i = begin; i < begin + 100; ++i) tokenizer.EncodeTo(lines[i], {}, &ids);
    tokens += ids.size();
    const std::string_view bytes(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t));
    EXPECT_EQ(Sha256Hex(bytes).substr(0, 16), expected()["digests"][begin / 100]) << "lines from " << begin;
  }
  EXPECT_EQ(tokens, expected()["tokens"].get<size_t>());
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerParity,
                         testing::Values("smollm2", "gpt2", "gpt2_prefix_space", "llama3", "qwen2", "gpt4o", "digit_runs"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace genflow::text
