#include "formats/model_writer.h"

#include <unordered_map>
#include <vector>

#include "base/files.h"
#include "formats/json_text.h"
#include "formats/safetensors.h"
#include "formats/weight_names.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt",     "chat_template.jinja",   "chat_template.json"};

// What config.json says of a model that came as a GGUF, in the order Hugging Face writes it.
ordered_json ConfigFile(const json& config, DType type) {
  const std::string model_type = config.at("model_type");
  ordered_json out;
  for (const auto& [key, value] : config.items()) {
    const bool llama_only = key == "mlp_bias" || key == "attention_bias";
    if (llama_only && model_type == "qwen2") continue;
    if (key == "mlp_bias" && model_type != "llama") continue;
    out[key] = value;
  }
  out["attention_dropout"] = 0.0;
  out["initializer_range"] = 0.02;
  out["use_cache"] = true;
  out["torch_dtype"] = DTypeName(type);
  return out;
}

Status WriteConfig(const fs::path& folder, const ModelContent& model, DType type) {
  const ModelSource& base = model.base;
  if (base.format() == ModelSource::Format::kGguf) {
    ordered_json config = ConfigFile(base.config(), type);
    if (model.untie) config["tie_word_embeddings"] = false;
    GF_CHECK_OK(WriteFileAtomic(folder / "config.json", PrettyJson(config)));
  } else {
    GF_TRY(const json original, ReadJsonFile(base.path() / "config.json"));
    ordered_json config = original;
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = DTypeName(type);
    if (model.untie) config["tie_word_embeddings"] = false;
    GF_CHECK_OK(WriteFileAtomic(folder / "config.json", PrettyJson(config)));
    std::error_code ec;
    if (fs::exists(base.path() / "generation_config.json", ec)) {
      GF_TRY(const std::string text, ReadFile(base.path() / "generation_config.json", 1u << 20));
      return WriteFileAtomic(folder / "generation_config.json", text);
    }
  }
  ordered_json generation;
  generation["_from_model_config"] = true;
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    const auto it = base.config().find(key);
    if (it != base.config().end() && !it->is_null()) generation[key] = *it;
  }
  return WriteFileAtomic(folder / "generation_config.json", PrettyJson(generation));
}

Status WriteTokenizer(const fs::path& folder, const ModelSource& base) {
  if (base.format() == ModelSource::Format::kHuggingFace) {
    std::error_code ec;
    for (const char* name : kTokenizerFiles) {
      if (!fs::exists(base.path() / name, ec)) continue;
      GF_TRY(const std::string text, ReadFile(base.path() / name));
      GF_CHECK_OK(WriteFileAtomic(folder / name, text));
    }
    return Ok();
  }
  GF_TRY(const TokenizerFiles files, base.ReadTokenizerFiles());
  GF_TRY(const nlohmann::json whole, files.WholeTokenizer());
  GF_CHECK_OK(WriteFileAtomic(folder / "tokenizer.json", PrettyJson(whole)));
  GF_CHECK_OK(WriteFileAtomic(folder / "tokenizer_config.json", PrettyJson(files.tokenizer_config)));
  ordered_json special = ordered_json::object();
  for (const char* key : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    const auto it = files.tokenizer_config.find(key);
    if (it != files.tokenizer_config.end() && it->is_string()) special[key] = *it;
  }
  GF_CHECK_OK(WriteFileAtomic(folder / "special_tokens_map.json", PrettyJson(special)));
  if (files.chat_template.empty()) return Ok();
  return WriteFileAtomic(folder / "chat_template.jinja", files.chat_template);
}

}  // namespace

std::vector<TensorInfo> ModelContent::Tensors() const {
  std::vector<TensorInfo> out = base.tensors();
  if (const TensorInfo* embedding = base.Find(kEmbeddingWeight); untie && embedding != nullptr) {
    out.push_back(*embedding);
    out.back().name = kHeadWeight;
  }
  return out;
}

ModelContent CopyOf(const ModelSource& source) {
  return {source, [source](std::string_view name, DType type, void* to, size_t) {
            return source.Read(name, type, to);
          }};
}

Status WriteHuggingFaceModel(const fs::path& folder, const ModelContent& model, DType type) {
  GF_CHECK_OK(MakeDirectories(folder));
  GF_CHECK_OK(WriteConfig(folder, model, type));
  GF_CHECK_OK(WriteTokenizer(folder, model.base));
  SafetensorsWriter writer;
  std::unordered_map<std::string, uint64_t> elements;
  for (const auto& tensor : model.Tensors()) {
    writer.AddTensor(tensor.name, tensor.shape, type);
    elements[tensor.name] = tensor.elements;
  }
  GF_TRY(const std::vector<std::string> order, writer.Begin(folder / "model.safetensors"));
  std::vector<std::byte> buffer;
  for (const auto& name : order) {
    buffer.resize(elements.at(name) * DTypeSize(type));
    GF_CHECK_OK(model.fill(name, type, buffer.data(), buffer.size()));
    GF_CHECK_OK(writer.WriteTensor(buffer.data(), buffer.size()));
  }
  GF_CHECK_OK(writer.Finish());
  return SyncPath(folder);
}

}  // namespace genflow::formats
