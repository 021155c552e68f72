// GGUF's names and conventions against Hugging Face's. Used inside this library.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "formats/gguf.h"
#include "formats/model_source.h"

namespace genflow::formats {

// The config.json that describes the model of a GGUF.
Result<nlohmann::json> ConfigFromGguf(const GgufFile& file);

constexpr uint32_t kQuantizationVersion = 2;  // GGML_QNT_VERSION

// Whether models of this type are written to GGUF files, and the error that says that they are not.
bool IsGgufArchitecture(std::string_view model_type);
Error NoGgufArchitecture(const std::string& model_type);
// general.architecture of a config.json's model_type: "llama" for "mistral", otherwise the same.
std::string GgufArchitecture(const std::string& model_type);

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight" and back; nothing for other names.
std::optional<std::string> HfTensorName(std::string_view gguf_name);
std::optional<std::string> GgufTensorName(std::string_view hf_name);

// GGUF files of model type "llama" hold the rows of q and k with the two halves of each head interleaved, the
// order that ggml's rotary embedding wants. Heads of the tensor when it is one of these, else 0.
int64_t PermutedHeads(std::string_view hf_name, const nlohmann::json& config);
// Row of the GGUF's tensor that is row `row` of Hugging Face's tensor, for heads of `head_rows` rows.
inline int64_t GgufRow(int64_t row, int64_t head_rows) {
  const int64_t head = row / head_rows, inside = row % head_rows, half = head_rows / 2;
  return head * head_rows + (inside % half) * 2 + inside / half;
}

// The pieces of what is returned look into the file.
Result<TokenizerFiles> TokenizerFromGguf(const std::shared_ptr<const GgufFile>& file);
// Sets the tokenizer.ggml.* keys and tokenizer.chat_template. `rows` is the number of embedding rows, which
// the vocabulary is padded to.
Status TokenizerToGguf(const TokenizerFiles& files, const nlohmann::json& config, int64_t rows,
                       GgufWriter* writer);

// A split pattern of a pre-tokenizer and the names that llama.cpp has for it.
struct PreTokenizerName {
  std::string_view pattern;    // a regular expression; "" for GPT-2's, which ByteLevel brings
  bool digits = false;         // each digit is split off first
  bool ignore_merges = false;  // a piece that is a token is taken whole, whatever the merges say
  std::string_view gguf;       // tokenizer.ggml.pre
};
// The entry of a GGUF name, or nullptr.
const PreTokenizerName* FindPreTokenizer(std::string_view gguf_name);
// The GGUF name of a tokenizer.json's pre_tokenizer, in a tokenizer that ignores merges or not; or nothing.
std::optional<std::string> GgufPreTokenizer(const nlohmann::json& pre_tokenizer, bool ignore_merges);

}  // namespace genflow::formats
