// Ids against Hugging Face tokenizers: tests/parity/make_tokenizer_fixtures.py.
#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "testing/scratch.h"
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
  for (int n = 0; file != nullptr && (n = gzread(file, buffer, sizeof buffer)) > 0;)
    out.append(buffer, static_cast<size_t>(n));
  gzclose(file);
  return out;
}

Tokenizer Load(const std::string& name) {
  auto tokenizer =
      name == "smollm2"
          ? Tokenizer::FromModel(GENFLOW_SMOLLM2_GGUF)
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
    EXPECT_EQ(ReplaceInvalidUtf8(tokenizer.Decode(ids, {.skip_special = true})),
              expected()["decoded"][i].get<std::string>());
    EXPECT_EQ(json(tokenizer.EncodeRendered(text, {{0, text.size()}})).dump(), expected()["plain"][i].dump());
  }
  for (size_t i = 0; i < expected()["with_added"].size(); ++i) {
    EXPECT_EQ(
        json(tokenizer.Encode(texts[i].get<std::string>(), {.parse_special = true, .add_special = true}))
            .dump(),
        expected()["with_added"][i].dump());
  }
}

TEST_P(TokenizerParity, EndsOfTokens) {
  const Tokenizer tokenizer = Load(GetParam());
  for (const std::string text : Cases()["cases"]) {
    SCOPED_TRACE(json(text).dump(-1, ' ', true));
    std::vector<size_t> ends;
    const std::vector<int32_t> ids = tokenizer.EncodeRendered(text, {}, &ends);
    ASSERT_EQ(ends.size(), ids.size());
    EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
    EXPECT_EQ(ends.empty() ? 0 : ends.back(), text.size());
    const bool prefix = std::string(GetParam()) == "gpt2_prefix_space";
    const bool changed = !prefix && tokenizer.Decode(ids) != text;
    bool segment = true;  // the token begins the text, or what follows a special token
    for (size_t i = 0; i < ids.size() && !changed; ++i) {
      const size_t begin = i == 0 ? 0 : ends[i - 1];
      std::string own = text.substr(begin, ends[i] - begin);
      if (prefix && segment && !tokenizer.IsSpecial(ids[i]) && text[begin] != ' ') own.insert(0, " ");
      segment = tokenizer.IsSpecial(ids[i]);
      EXPECT_EQ(own, tokenizer.TokenBytes(ids[i])) << i;
    }
  }
}

TEST(Tokenizer, EndsCountBeforeNormalization) {
  const Tokenizer tokenizer = Load("qwen2");
  const std::string text = "A\u030a=x e\u0301e\u0301<|im_end|>\u212b.";
  std::vector<size_t> ends;
  const std::vector<int32_t> ids = tokenizer.EncodeRendered(text, {}, &ends);
  EXPECT_EQ(tokenizer.Decode(ids), "\u00c5=x \u00e9\u00e9<|im_end|>\u00c5.");
  EXPECT_EQ(ends.back(), text.size());
  const auto special = std::find(ids.begin(), ids.end(), *tokenizer.IdOf("<|im_end|>")) - ids.begin();
  EXPECT_EQ(ends[static_cast<size_t>(special)], text.find("<|im_end|>") + 10);
  EXPECT_NE(std::find(ends.begin(), ends.end(), text.find("=x")), ends.end());
}

TEST(Tokenizer, ManyThreadsAgree) {
  const Tokenizer tokenizer = Load("smollm2");
  const std::string text = ReadGzip(kFixtures + "lines.txt.gz").substr(0, 60000);
  std::vector<std::vector<int32_t>> ids(4);
  std::vector<std::thread> threads;
  for (auto& out : ids) threads.emplace_back([&] { out = tokenizer.Encode(text); });
  for (auto& thread : threads) thread.join();
  EXPECT_GT(ids[0].size(), 10000u);
  for (const auto& other : ids) EXPECT_EQ(other, ids[0]);
  EXPECT_EQ(tokenizer.Decode(ids[0]), text);
}

TEST(Tokenizer, SpecialTokensOfSmolLm2) {
  const Tokenizer tokenizer = Load("smollm2");
  EXPECT_EQ(tokenizer.bos_id(), 1);
  EXPECT_EQ(tokenizer.eos_id(), 2);
  EXPECT_EQ(tokenizer.pad_id(), 2);
  EXPECT_EQ(tokenizer.eos_token(), "<|im_end|>");
  EXPECT_EQ(tokenizer.IdOf("<|im_end|>"), 2);
  EXPECT_EQ(tokenizer.IdOf("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.TokenOf(*tokenizer.IdOf("\u0120the")), "\u0120the");
  EXPECT_EQ(tokenizer.TokenBytes(*tokenizer.IdOf("\u0120the")), " the");
  EXPECT_TRUE(tokenizer.IsSpecial(2));
  EXPECT_FALSE(tokenizer.IsSpecial(100));
  EXPECT_EQ(tokenizer.TokenBytes(-1), "");
  EXPECT_EQ(tokenizer.TokenBytes(tokenizer.vocab_size()), "");
  const auto found = tokenizer.FindSpecial("a<|im_end|>b<|im_start|>", 3);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, 1);
  EXPECT_EQ(found->range.begin, 12u);
}

std::string LoadError(const json& tokenizer) {
  const auto loaded = Tokenizer::FromJson(tokenizer);
  return loaded.ok() ? "loaded" : loaded.error().message;
}

TEST(Tokenizer, MalformedFilesAreErrors) {
  const json good = json::parse(ReadFile(kFixtures + "tokenizers/gpt2.json").value());
  const auto with = [&](const std::string& pointer, json value) {
    json changed = good;
    changed[json::json_pointer(pointer)] = std::move(value);
    return LoadError(changed);
  };
  EXPECT_EQ(LoadError(json::array()), "tokenizer.json: has no 'model'");
  EXPECT_EQ(with("/model", "x"), "tokenizer.json: 'model' lacks the vocabulary or the merges of a BPE");
  EXPECT_EQ(with("/model/type", "Unigram"), "tokenizer.json: model type \"Unigram\" is not supported");
  EXPECT_EQ(with("/model/byte_fallback", true), "tokenizer.json: 'byte_fallback' is not supported");
  EXPECT_EQ(with("/model/vocab/a", -1), "tokenizer.json: token 'a' has id -1");
  EXPECT_EQ(with("/model/vocab/a", 1e18), "tokenizer.json: token 'a' has id 1e+18");
  EXPECT_EQ(with("/model/vocab/a", 1ull << 40), "tokenizer.json: token 'a' has id 1099511627776");
  const size_t tokens = good["model"]["vocab"].size() + good["added_tokens"].size();
  EXPECT_EQ(with("/model/vocab/a", tokens + 65535), "loaded");
  EXPECT_EQ(with("/model/vocab/a", tokens + 65536),
            "tokenizer.json: token 'a' has id " + std::to_string(tokens + 65536));
  EXPECT_EQ(with("/added_tokens/0/id", tokens + 65536),
            "tokenizer.json: added token '<|endoftext|>' has id " + std::to_string(tokens + 65536));
  EXPECT_EQ(with("/model/merges/0", json::array({"a", "nope"})),
            "tokenizer.json: merge 'a nope' names a token that is not in the vocabulary");
  EXPECT_EQ(with("/model/merges/0", 7), "tokenizer.json: a merge is not two pieces");
  EXPECT_EQ(with("/pre_tokenizer", nullptr), "tokenizer.json: there is no pre-tokenizer");
  EXPECT_EQ(with("/pre_tokenizer/type", "Metaspace"), "tokenizer.json: the pre-tokenizer is not byte-level");
  EXPECT_EQ(with("/normalizer", {{"type", "Lowercase"}}),
            "tokenizer.json: normalizer {\"type\":\"Lowercase\"} is not supported");
  EXPECT_EQ(with("/post_processor", {{"type", "BertProcessing"}}),
            "tokenizer.json: post-processor 'BertProcessing' is not supported");
  const auto post = [](const std::string& id) {
    return json::parse(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}],
                           "special_tokens": {"x": {"ids": [)" +
                       id + "]}}}");
  };
  EXPECT_EQ(with("/post_processor", post("1")), "loaded");
  for (const char* id : {"70000", "-1", "4294967297", "\"a\""}) {
    EXPECT_EQ(with("/post_processor", post(id)),
              std::string("tokenizer.json: the post-processor adds token ") + id +
                  ", which is not in the vocabulary");
  }
  EXPECT_EQ(with("/added_tokens/0/id", -5), "tokenizer.json: added token '<|endoftext|>' has id -5");
  EXPECT_EQ(with("/added_tokens/0/id", 2.5e78), "tokenizer.json: added token '<|endoftext|>' has id 2.5e+78");
  EXPECT_EQ(with("/added_tokens", 3), "tokenizer.json: 'added_tokens' is not a list");
  json split = {{"type", "Sequence"},
                {"pretokenizers",
                 {{{"type", "Split"}, {"pattern", {{"Regex", "(["}}}, {"behavior", "Isolated"}},
                  good["pre_tokenizer"]}}};
  EXPECT_EQ(with("/pre_tokenizer", split),
            "tokenizer.json: the pre-tokenizer's regular expression, column 3: missing terminating ] for "
            "character class\n    ([\n      ^");
}

TEST(Tokenizer, TakesVocabularyAndMergesAsPieces) {
  formats::TokenizerFiles files;
  files.tokenizer = {{"model", {{"type", "BPE"}}}, {"pre_tokenizer", {{"type", "ByteLevel"}}}};
  files.tokenizer_config = json::object();
  files.pieces = formats::BpePieces{
      .vocab = {{"a", 0}, {"b", 1}, {"ab", 2}, {"\u0120", 3}}, .merges = {{"a", "b"}}, .owner = nullptr};
  const auto tokenizer = Tokenizer::FromFiles(files);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().ToString();
  EXPECT_EQ(tokenizer->Encode("aba", {}), (std::vector<int32_t>{3, 2, 0}));
  EXPECT_EQ(tokenizer->IdOf("ab"), 2);
  files.pieces->vocab.emplace_back("b", 4);
  EXPECT_EQ(Tokenizer::FromFiles(files).error().message, "tokenizer.json: tokens 1 and 4 are both 'b'");
}

// A file cut anywhere, or with a byte changed, is an error or a tokenizer, never a crash.
TEST(Tokenizer, DamagedFilesNeverCrash) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path(), file = folder + "/tokenizer.json";
  const std::string text = ReadFile(kFixtures + "tokenizers/gpt2_prefix_space.json").value();
  for (size_t size = 0; size < text.size(); size += 401) {
    std::ofstream(file) << text.substr(0, size);
    const auto loaded = Tokenizer::FromModel(folder);
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().code, Code::kCorrupt);
    EXPECT_TRUE(loaded.error().message.starts_with(file + ": not valid JSON: ")) << loaded.error().message;
  }
  uint32_t random = 1;
  int refused = 0, opened = 0;
  for (int i = 0; i < 150; ++i) {
    std::string changed = text;
    // Four bytes become any, or one becomes a digit.
    const bool digit = i % 2 == 1;
    for (int k = 0; k < (digit ? 1 : 4); ++k) {
      random = random * 1664525u + 1013904223u;
      changed[(random >> 8) % changed.size()] =
          static_cast<char>(digit ? '0' + (random >> 24) % 10 : random >> 24);
    }
    std::ofstream(file) << changed;
    const auto loaded = Tokenizer::FromModel(folder);
    if (!loaded.ok()) {
      ++refused;
      const Error& error = loaded.error();
      EXPECT_TRUE(error.code == Code::kCorrupt || error.code == Code::kUnsupported) << error.ToString();
      EXPECT_TRUE(error.message.starts_with(folder)) << error.message;
      continue;
    }
    ++opened;
    const std::string hello = "Hello, w\u00f6rld 123";
    for (const int32_t id : loaded->Encode(hello)) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, loaded->vocab_size());
    }
  }
  EXPECT_GT(refused, 10);
  EXPECT_GT(opened, 0);
}

TEST_P(TokenizerParity, InvalidUtf8BecomesReplacementCharacters) {
  const Tokenizer tokenizer = Load(GetParam());
  const auto& texts = Cases()["invalid"];
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string hex = texts[i];
    std::string text;
    for (size_t at = 0; at < hex.size(); at += 2)
      text.push_back(static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16)));
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
                         testing::Values("smollm2", "gpt2", "gpt2_prefix_space", "llama3", "qwen2", "gpt4o",
                                         "digit_runs"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace genflow::text
