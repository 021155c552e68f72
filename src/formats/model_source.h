// A language model on disk, whatever its format, seen the way Hugging Face names things.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/dtype.h"

namespace genflow::formats {

struct TensorInfo {
  std::string name;            // "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // outermost first
  std::string stored_type;     // "F32", "BF16", "Q4_1", ...
  uint64_t elements = 0;
};

struct ReadRequest {
  std::string_view name;
  DType type = DType::kF32;
  void* to = nullptr;  // elements * DTypeSize(type) bytes
};

// A matrix of a GGUF as it stands in the mapped file.
struct GgmlMatrix {
  int32_t type = 0;  // enum ggml_type
  const std::byte* data = nullptr;
  uint64_t rows = 0, columns = 0, row_bytes = 0;
  // Rows of one head where the file has those of q and k in llama.cpp's order; else 0.
  int64_t head_rows = 0;

  // The row of the file that is row `row` of Hugging Face's matrix.
  uint64_t FileRow(uint64_t row) const;
};

// Vocabulary and merges of a BPE: views into what `owner` holds.
struct BpePieces {
  std::vector<std::pair<std::string_view, int64_t>> vocab;
  std::vector<std::pair<std::string_view, std::string_view>> merges;
  std::shared_ptr<const void> owner;
};

// The tokenizer as Hugging Face's files. From a GGUF they are rebuilt from its vocabulary.
struct TokenizerFiles {
  nlohmann::json tokenizer;  // tokenizer.json; without model.vocab and model.merges where there are pieces
  std::optional<BpePieces> pieces;  // of a GGUF: as JSON they take ten times as long to build
  nlohmann::json tokenizer_config;  // tokenizer_config.json, with bos_token, eos_token, pad_token as strings
  std::string chat_template;        // "" when the model has none

  // All of tokenizer.json, which holds each token once.
  Result<nlohmann::json> WholeTokenizer() const;
};

// Text of the token that tokenizer_config.json has under `key`: "<s>" or {"content": "<s>", ...}; "" without
// one.
std::string TokenText(const nlohmann::json& tokenizer_config, const char* key);

class ModelSource {
 public:
  enum class Format { kHuggingFace, kGguf };

  // `path`: a Hugging Face folder (config.json with model.safetensors or its index), a GGUF file, or a folder
  // that holds exactly one .gguf file.
  static Result<ModelSource> Open(const std::filesystem::path& path);

  Format format() const;
  // The Hugging Face folder, or the GGUF file.
  const std::filesystem::path& path() const;

  // config.json. From a GGUF: architectures, model_type, hidden_size, num_hidden_layers, num_attention_heads,
  // num_key_value_heads, head_dim, intermediate_size, rms_norm_eps, rope_theta, rope_scaling where present,
  // vocab_size, tie_word_embeddings, max_position_embeddings, bos/eos/pad_token_id, torch_dtype, hidden_act,
  // attention_bias, mlp_bias.
  const nlohmann::json& config() const;
  // "llama", "qwen2", ...: config()["model_type"].
  std::string model_type() const;

  // In the file's order, under Hugging Face names. A tied lm_head.weight is absent.
  const std::vector<TensorInfo>& tensors() const;
  const TensorInfo* Find(std::string_view name) const;
  uint64_t parameter_count() const;
  // The type that holds most weights: "Q4_1", "BF16", ...
  std::string dominant_type() const;

  // Converts or dequantises a whole tensor; the rows of q and k of a GGUF are put back in Hugging Face's
  // order. Uses up to `threads` threads (0: one a core). Thread-safe.
  Status Read(std::string_view name, DType type, void* to, int threads = 0) const;
  // Many tensors in one go, spread over the threads.
  Status ReadMany(const std::vector<ReadRequest>& requests, int threads = 0) const;
  // The tensor's bytes in the map when they are stored exactly in this type and order, else nullptr. Lives as
  // long as this object or a copy of it.
  const void* Raw(std::string_view name, DType type) const;
  // A matrix of a GGUF in its own type, nothing for vectors, F32, and other formats. Lives as long as this
  // object or a copy of it.
  std::optional<GgmlMatrix> Ggml(std::string_view name) const;
  // The pages of a tensor that has been read no longer count as this process's memory; what Raw gave stays
  // valid, and comes back from the file when it is read again.
  void GiveBack(std::string_view name) const;

  // Parses (HF) or rebuilds (GGUF) the tokenizer files.
  Result<TokenizerFiles> ReadTokenizerFiles() const;

 private:
  struct Impl;
  explicit ModelSource(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

// The tokenizer files of a model folder or GGUF alone, without opening its weights.
Result<TokenizerFiles> ReadTokenizerFiles(const std::filesystem::path& path);

}  // namespace genflow::formats
