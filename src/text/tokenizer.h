// Byte-level BPE tokenizer (GPT-2 family: GPT-2, SmolLM, Llama 3, Qwen 2), ids equal to Hugging Face
// tokenizers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/model_source.h"

namespace genflow::text {

struct EncodeOptions {
  // Special tokens written out in the text ("<|im_end|>") become their ids. Off: they are ordinary text,
  // which is what text from users and data sets must be encoded with.
  bool parse_special = false;
  // Adds what the tokenizer's post-processor adds around a single text (a BOS, for Llama 3).
  bool add_special = false;
};

struct DecodeOptions {
  bool skip_special = false;
};

// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0, end = 0;
};

// Immutable after loading: every method is thread-safe. Cheap to copy.
class Tokenizer {
 public:
  // A Hugging Face folder, a GGUF file, or a folder that holds one GGUF.
  static Result<Tokenizer> FromModel(const std::filesystem::path& path);
  static Result<Tokenizer> FromFiles(const formats::TokenizerFiles& files);
  // The contents of tokenizer.json alone.
  static Result<Tokenizer> FromJson(const nlohmann::json& tokenizer);

  // Invalid UTF-8 is replaced by U+FFFD as Python's bytes.decode("utf-8", "replace") does.
  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Appends to `ids`.
  void EncodeTo(std::string_view text, const EncodeOptions& options, std::vector<int32_t>* ids) const;

  // A rendered conversation: special tokens are parsed, but not where they touch one of the `literal` ranges
  // (sorted, apart), which hold what users wrote. `ends`, where given, gets the byte of valid `text` after
  // each token.
  std::vector<int32_t> EncodeRendered(std::string_view text, const std::vector<TextRange>& literal,
                                      std::vector<size_t>* ends = nullptr) const;

  // The first special token written out in `text` at or after byte `from`.
  struct SpecialMatch {
    int32_t id = 0;
    TextRange range;
  };
  std::optional<SpecialMatch> FindSpecial(std::string_view text, size_t from) const;

  // The exact bytes of the tokens; may be cut inside a character. Ids out of range are skipped.
  std::string Decode(const std::vector<int32_t>& ids, const DecodeOptions& options = {}) const;
  // Bytes of one token as Decode gives them; "" when out of range.
  std::string_view TokenBytes(int32_t id) const;

  // Ids of vocabulary entries as written in tokenizer.json ("Ġthe", "<|im_end|>").
  std::optional<int32_t> IdOf(std::string_view token) const;
  std::string_view TokenOf(int32_t id) const;
  bool IsSpecial(int32_t id) const;

  // Highest id + 1, added tokens included.
  int32_t vocab_size() const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;
  const std::string& chat_template() const;  // "" when the model has none
  // What template variables bos_token and eos_token hold; "" when unset.
  std::string_view bos_token() const;
  std::string_view eos_token() const;

 private:
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace genflow::text
