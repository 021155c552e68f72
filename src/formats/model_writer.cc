#include "formats/model_writer.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "base/files.h"
#include "formats/gguf.h"
#include "formats/gguf_model.h"
#include "formats/json_text.h"
#include "formats/safetensors.h"

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

Status WriteConfig(const fs::path& folder, const ModelSource& base, DType type) {
  if (base.format() == ModelSource::Format::kGguf) {
    GF_CHECK_OK(WriteFileAtomic(folder / "config.json", PrettyJson(ConfigFile(base.config(), type))));
  } else {
    GF_TRY(const json original, ReadJsonFile(base.path() / "config.json"));
    ordered_json config = original;
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = DTypeName(type);
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
  GF_CHECK_OK(WriteFileAtomic(folder / "tokenizer.json", PrettyJson(files.tokenizer)));
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

std::string ArchitectureOf(const std::string& model_type) {
  return model_type == "mistral" ? "llama" : model_type;
}

Status SetMetadata(const ModelSource& base, const GgufModelOptions& options, GgufWriter* writer) {
  const json& config = base.config();
  const std::string arch = ArchitectureOf(config.at("model_type"));
  const auto size = [&](const char* key) { return config.at(key).get<uint32_t>(); };
  std::string name = options.name;
  if (name.empty()) {
    name = base.format() == ModelSource::Format::kGguf ? base.path().stem().string()
                                                       : base.path().filename().string();
  }
  const uint32_t heads = size("num_attention_heads"), head_dim = size("head_dim");
  writer->Set("general.architecture", arch);
  writer->Set("general.type", "model");
  writer->Set("general.name", name);
  writer->SetU32("general.file_type", options.type == DType::kF32 ? 0 : options.type == DType::kF16 ? 1 : 32);
  writer->SetU32(arch + ".block_count", size("num_hidden_layers"));
  writer->SetU32(arch + ".context_length", size("max_position_embeddings"));
  writer->SetU32(arch + ".embedding_length", size("hidden_size"));
  writer->SetU32(arch + ".feed_forward_length", size("intermediate_size"));
  writer->SetU32(arch + ".attention.head_count", heads);
  writer->SetU32(arch + ".attention.head_count_kv", size("num_key_value_heads"));
  writer->SetF32(arch + ".attention.layer_norm_rms_epsilon", config.at("rms_norm_eps").get<float>());
  writer->SetF32(arch + ".rope.freq_base", config.at("rope_theta").get<float>());
  writer->SetU32(arch + ".rope.dimension_count", head_dim);
  writer->SetU32(arch + ".vocab_size", size("vocab_size"));
  if (head_dim * heads != size("hidden_size")) {
    writer->SetU32(arch + ".attention.key_length", head_dim);
    writer->SetU32(arch + ".attention.value_length", head_dim);
  }
  const json scaling = config.value("rope_scaling", json(nullptr));
  if (!scaling.is_object()) return Ok();
  const std::string type = scaling.value("rope_type", scaling.value("type", ""));
  if (type == "linear" || type == "yarn") {
    writer->Set(arch + ".rope.scaling.type", type);
    writer->SetF32(arch + ".rope.scaling.factor", scaling.at("factor").get<float>());
    if (scaling.contains("original_max_position_embeddings")) {
      writer->SetU32(arch + ".rope.scaling.original_context_length",
                     scaling["original_max_position_embeddings"].get<uint32_t>());
    }
  } else if (type != "llama3" && type != "default" && type != "") {
    return MakeError(Code::kUnsupported, "rope scaling '" + type + "' cannot be written to a GGUF");
  }
  return Ok();
}

// Llama 3.1's scaling as the frequency factors that llama.cpp reads; empty for other models.
std::vector<float> Llama3Factors(const json& config) {
  const json scaling = config.value("rope_scaling", json(nullptr));
  if (!scaling.is_object() || scaling.value("rope_type", scaling.value("type", "")) != "llama3") return {};
  const double factor = scaling.at("factor"), low = scaling.at("low_freq_factor"),
               high = scaling.at("high_freq_factor"),
               original = scaling.at("original_max_position_embeddings"), theta = config.at("rope_theta");
  const int64_t head_dim = config.at("head_dim");
  std::vector<float> out;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(theta, static_cast<double>(i) / static_cast<double>(head_dim));
    const double smooth = (original / wavelength - low) / (high - low);
    out.push_back(static_cast<float>(wavelength < original / high  ? 1.0
                                     : wavelength > original / low ? factor
                                                                   : 1 / ((1 - smooth) / factor + smooth)));
  }
  return out;
}

Status WriteGguf(const fs::path& file, const ModelSource& base, const TensorFiller& fill,
                 const GgufModelOptions& options) {
  const std::string type = base.model_type();
  if (type != "llama" && type != "mistral" && type != "qwen2" && type != "qwen3") {
    return MakeError(Code::kUnsupported, "a '" + type + "' model cannot be written to a GGUF",
                     "llama, mistral, qwen2 and qwen3 can");
  }
  const TensorInfo* embedding = base.Find("model.embed_tokens.weight");
  if (embedding == nullptr)
    return InvalidError(base.path().string() + ": has no tensor 'model.embed_tokens.weight'");
  GgufWriter writer;
  GF_CHECK_OK(SetMetadata(base, options, &writer));
  GF_TRY(const TokenizerFiles files, base.ReadTokenizerFiles());
  GF_CHECK_OK(TokenizerToGguf(files, base.config(), embedding->shape.front(), &writer));

  const std::vector<float> factors = Llama3Factors(base.config());
  if (!factors.empty())
    writer.AddTensor("rope_freqs.weight", {static_cast<int64_t>(factors.size())}, DType::kF32);
  const auto type_of = [&](const TensorInfo& tensor) {
    return tensor.shape.size() > 1 ? options.type : DType::kF32;
  };
  for (const auto& tensor : base.tensors()) {
    const auto name = GgufTensorName(tensor.name);
    if (!name) return MakeError(Code::kUnsupported, "tensor '" + tensor.name + "' has no place in a GGUF");
    writer.AddTensor(*name, tensor.shape, type_of(tensor));
  }
  GF_CHECK_OK(writer.Begin(file));
  if (!factors.empty()) GF_CHECK_OK(writer.WriteTensor(factors.data(), factors.size() * sizeof(float)));
  std::vector<std::byte> buffer, permuted;
  for (const auto& tensor : base.tensors()) {
    const DType element = type_of(tensor);
    buffer.resize(tensor.elements * DTypeSize(element));
    GF_CHECK_OK(fill(tensor.name, element, buffer.data(), buffer.size()));
    const std::byte* data = buffer.data();
    if (const int64_t heads = PermutedHeads(tensor.name, base.config()); heads > 0) {
      const int64_t rows = tensor.shape.front();
      if (rows % (heads * 2) != 0)
        return InvalidError("tensor '" + tensor.name + "' does not split into heads");
      const size_t row_bytes = buffer.size() / static_cast<size_t>(rows);
      permuted.resize(buffer.size());
      for (int64_t row = 0; row < rows; ++row) {
        std::memcpy(permuted.data() + static_cast<size_t>(GgufRow(row, rows / heads)) * row_bytes,
                    buffer.data() + static_cast<size_t>(row) * row_bytes, row_bytes);
      }
      data = permuted.data();
    }
    GF_CHECK_OK(writer.WriteTensor(data, buffer.size()));
  }
  return writer.Finish();
}

}  // namespace

TensorFiller CopyTensors(const ModelSource& source) {
  return
      [source](std::string_view name, DType type, void* to, size_t) { return source.Read(name, type, to); };
}

Status WriteHuggingFaceModel(const fs::path& folder, const ModelSource& base, DType type,
                             const TensorFiller& fill) {
  GF_CHECK_OK(MakeDirectories(folder));
  GF_CHECK_OK(WriteConfig(folder, base, type));
  GF_CHECK_OK(WriteTokenizer(folder, base));
  SafetensorsWriter writer;
  for (const auto& tensor : base.tensors()) writer.AddTensor(tensor.name, tensor.shape, type);
  GF_TRY(const std::vector<std::string> order, writer.Begin(folder / "model.safetensors"));
  std::vector<std::byte> buffer;
  for (const auto& name : order) {
    buffer.resize(base.Find(name)->elements * DTypeSize(type));
    GF_CHECK_OK(fill(name, type, buffer.data(), buffer.size()));
    GF_CHECK_OK(writer.WriteTensor(buffer.data(), buffer.size()));
  }
  GF_CHECK_OK(writer.Finish());
  return SyncPath(folder);
}

Status WriteGgufModel(const fs::path& file, const ModelSource& base, const TensorFiller& fill,
                      const GgufModelOptions& options) {
  try {
    return WriteGguf(file, base, fill, options);
  } catch (const json::exception& e) {
    return MakeError(Code::kCorrupt, base.path().string() + ": config.json: " + e.what());
  }
}

}  // namespace genflow::formats
