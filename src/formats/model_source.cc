#include "formats/model_source.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <system_error>
#include <unordered_map>

#include "formats/gguf.h"
#include "formats/gguf_model.h"
#include "formats/json_text.h"
#include "formats/parallel.h"
#include "formats/safetensors.h"
#include "formats/tokenizer_files.h"
#include "formats/weight_names.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// What a path is: a GGUF file, or a Hugging Face folder.
struct Location {
  ModelSource::Format format;
  fs::path path;
};

Result<Location> Locate(const fs::path& path) {
  std::error_code ec;
  const auto status = fs::status(path, ec);
  if (!fs::exists(status)) return MakeError(Code::kNotFound, path.string() + ": no such file or folder");
  if (!fs::is_directory(status)) {
    if (path.extension() == ".gguf") return Location{ModelSource::Format::kGguf, path};
    GF_TRY(const MappedFile map, MappedFile::Open(path));
    if (map.text().starts_with("GGUF")) return Location{ModelSource::Format::kGguf, path};
    return InvalidError(path.string() + ": is not a GGUF file",
                        "give a .gguf file or a Hugging Face model folder");
  }
  if (fs::exists(path / "config.json", ec)) return Location{ModelSource::Format::kHuggingFace, path};
  std::vector<fs::path> found;
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() == ".gguf") found.push_back(it->path());
  }
  if (ec) return ErrnoError(path.string(), ec.value());
  if (found.size() == 1) return Location{ModelSource::Format::kGguf, found[0]};
  if (found.empty()) {
    return InvalidError(path.string() + ": holds neither config.json nor a .gguf file",
                        "give a .gguf file or a Hugging Face model folder");
  }
  std::sort(found.begin(), found.end());
  return InvalidError(path.string() + ": holds " + std::to_string(found.size()) + " .gguf files",
                      "name one of them, such as " + found[0].filename().string());
}

// Fills in what older and newer config.json files leave out or spell differently.
Status Normalize(const fs::path& file, json* config) {
  if (!config->is_object()) return MakeError(Code::kCorrupt, file.string() + ": is not a JSON object");
  const auto missing = [&](const char* key) { return !config->contains(key) || (*config)[key].is_null(); };
  if (missing("model_type") || !(*config)["model_type"].is_string()) {
    return MakeError(Code::kInvalid, file.string() + ": has no 'model_type'");
  }
  if (missing("torch_dtype") && !missing("dtype")) (*config)["torch_dtype"] = (*config)["dtype"];
  if (!missing("rope_parameters") && (*config)["rope_parameters"].is_object()) {
    json rope = (*config)["rope_parameters"];
    if (missing("rope_theta") && rope.contains("rope_theta")) (*config)["rope_theta"] = rope["rope_theta"];
    rope.erase("rope_theta");
    if (missing("rope_scaling") && rope.value("rope_type", "default") != "default")
      (*config)["rope_scaling"] = rope;
  }
  const std::string type = (*config)["model_type"];
  if (type != "llama" && type != "mistral" && type != "qwen2" && type != "qwen3") return Ok();
  for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    if (missing(key) || !(*config)[key].is_number_integer() || (*config)[key] <= 0 ||
        (*config)[key] > INT32_MAX) {
      return MakeError(Code::kCorrupt,
                       file.string() + ": '" + key + "' is missing or not a positive integer");
    }
  }
  const int64_t heads = (*config)["num_attention_heads"];
  const std::pair<const char*, json> defaults[] = {
      {"num_key_value_heads", heads},
      {"head_dim", (*config)["hidden_size"].get<int64_t>() / heads},
      {"rms_norm_eps", 1e-6},
      {"rope_theta", 10000.0},
      {"hidden_act", "silu"},
      {"tie_word_embeddings", false},
      {"attention_bias", type == "qwen2"},
      {"mlp_bias", false},
      {"torch_dtype", "float32"},
  };
  for (const auto& [key, value] : defaults) {
    if (missing(key)) (*config)[key] = value;
    if ((*config)[key].is_number() != value.is_number() ||
        (*config)[key].is_boolean() != value.is_boolean()) {
      return MakeError(Code::kCorrupt, file.string() + ": '" + key + "' is " + (*config)[key].dump() +
                                           ", which is no " +
                                           (value.is_number()    ? "number"
                                            : value.is_boolean() ? "true or false"
                                                                 : "text"));
    }
  }
  return Ok();
}

bool Skipped(const std::string& name, const json& config) {
  return name.ends_with(".rotary_emb.inv_freq") ||
         (name == kHeadWeight && config.value("tie_word_embeddings", false));
}

std::optional<DType> StoredDType(const std::string& tag) {
  if (tag == "F32") return DType::kF32;
  if (tag == "F16") return DType::kF16;
  if (tag == "BF16") return DType::kBF16;
  return std::nullopt;
}

}  // namespace

struct ModelSource::Impl {
  Format format = Format::kHuggingFace;
  fs::path path;
  json config;
  std::optional<GgufFile> gguf;
  std::optional<SafetensorsFile> safetensors;
  std::vector<TensorInfo> tensors;
  std::unordered_map<std::string, size_t> names;
  // By the index of `tensors`: where the bytes are and how they are coded.
  struct Stored {
    const std::byte* data = nullptr;
    int32_t ggml_type = -1;     // GGUF
    std::optional<DType> type;  // plain elements
    uint64_t rows = 0, columns = 0, row_bytes = 0;
    int64_t head_rows = 0;  // rows of one head of a permuted q or k, else 0
  };
  std::vector<Stored> stored;

  Status AddTensor(TensorInfo info, Stored at) {
    if (!names.emplace(info.name, tensors.size()).second) {
      return MakeError(Code::kCorrupt, path.string() + ": tensor '" + info.name + "' is given twice");
    }
    at.columns = info.shape.empty() ? 1 : static_cast<uint64_t>(info.shape.back());
    at.rows = at.columns == 0 ? 0 : info.elements / at.columns;
    tensors.push_back(std::move(info));
    stored.push_back(at);
    return Ok();
  }

  Status OpenGguf() {
    GF_TRY(gguf, GgufFile::Open(path));
    GF_TRY(config, ConfigFromGguf(*gguf));
    for (const auto& tensor : gguf->tensors()) {
      if (tensor.name == "rope_freqs.weight") continue;  // stands in config as rope_scaling
      auto name = HfTensorName(tensor.name);
      if (!name) {
        return MakeError(Code::kUnsupported, path.string() + ": tensor '" + tensor.name +
                                                 "' has no place in a " + config.value("model_type", "") +
                                                 " model");
      }
      Stored at;
      at.data = tensor.data;
      at.ggml_type = tensor.type;
      const std::string type = GgmlTypeName(tensor.type);
      at.type = StoredDType(type);
      if (const int64_t heads = PermutedHeads(*name, config); heads > 0) {
        const int64_t rows = tensor.shape.front();
        if (rows % (heads * 2) != 0) {
          return MakeError(Code::kCorrupt, path.string() + ": tensor '" + tensor.name + "' has " +
                                               std::to_string(rows) + " rows, which " +
                                               std::to_string(heads) + " heads do not share evenly");
        }
        at.head_rows = rows / heads;
      }
      GF_CHECK_OK(AddTensor({std::move(*name), tensor.shape, type, tensor.elements}, at));
      Stored& added = stored.back();
      if (added.head_rows > 0 && tensor.shape.size() == 1)
        added.rows = added.columns, added.columns = 1;  // a bias
      GF_TRY(added.row_bytes, GgmlRowBytes(tensor.type, added.columns));
    }
    return Ok();
  }

  Status OpenFolder() {
    GF_TRY(config, ReadJsonFile(path / "config.json"));
    GF_CHECK_OK(Normalize(path / "config.json", &config));
    std::error_code ec;
    const fs::path whole = path / "model.safetensors", index = path / "model.safetensors.index.json";
    const bool has_whole = fs::exists(whole, ec);
    if (!has_whole && !fs::exists(index, ec)) {
      return InvalidError(
          path.string() + ": has neither model.safetensors nor model.safetensors.index.json",
          "weights in other files, such as pytorch_model.bin, must be saved as safetensors first");
    }
    GF_TRY(safetensors, SafetensorsFile::Open(has_whole ? whole : index));
    for (const auto& tensor : safetensors->tensors()) {
      if (Skipped(tensor.name, config)) continue;
      Stored at;
      at.data = tensor.data;
      at.type = StoredDType(tensor.dtype);
      GF_CHECK_OK(AddTensor({tensor.name, tensor.shape, tensor.dtype, tensor.elements}, at));
      stored.back().row_bytes = at.type ? stored.back().columns * DTypeSize(*at.type) : 0;
    }
    return Ok();
  }

  // Rows [begin, end) of a tensor, as `type`.
  Status ReadRows(size_t index, DType type, void* to, uint64_t begin, uint64_t end) const {
    const Stored& at = stored[index];
    const uint64_t columns = at.columns, width = DTypeSize(type);
    auto* out = static_cast<std::byte*>(to);
    const auto source_row = [&](uint64_t row) {
      return at.head_rows == 0 ? row
                               : static_cast<uint64_t>(GgufRow(static_cast<int64_t>(row), at.head_rows));
    };
    if (at.type) {
      if (reinterpret_cast<uintptr_t>(at.data) % DTypeSize(*at.type) !=
          0) {  // old files do not align their data
        std::vector<std::byte> aligned(at.row_bytes);
        for (uint64_t row = begin; row < end; ++row) {
          std::memcpy(aligned.data(), at.data + row * at.row_bytes, at.row_bytes);
          ConvertElements(aligned.data(), *at.type, out + row * columns * width, type, columns);
        }
        return Ok();
      }
      if (at.head_rows == 0) {
        ConvertElements(at.data + begin * at.row_bytes, *at.type, out + begin * columns * width, type,
                        (end - begin) * columns);
        return Ok();
      }
      for (uint64_t row = begin; row < end; ++row) {
        ConvertElements(at.data + source_row(row) * at.row_bytes, *at.type, out + row * columns * width, type,
                        columns);
      }
      return Ok();
    }
    std::vector<float> buffer(type == DType::kF32 ? 0 : columns);
    for (uint64_t row = begin; row < end; ++row) {
      std::byte* target = out + row * columns * width;
      float* floats = type == DType::kF32 ? reinterpret_cast<float*>(target) : buffer.data();
      GF_CHECK_OK(DequantizeRows(at.ggml_type, at.data + source_row(row) * at.row_bytes, 1, columns, floats));
      if (type != DType::kF32) ConvertElements(floats, DType::kF32, target, type, columns);
    }
    return Ok();
  }
};

Result<ModelSource> ModelSource::Open(const fs::path& path) {
  GF_TRY(const Location location, Locate(path));
  auto impl = std::make_shared<Impl>();
  impl->format = location.format;
  impl->path = location.path;
  try {
    GF_CHECK_OK(location.format == Format::kGguf ? impl->OpenGguf() : impl->OpenFolder());
  } catch (const json::exception& e) {  // a value of an unexpected type
    const fs::path file = location.format == Format::kGguf ? location.path : location.path / "config.json";
    return MakeError(Code::kCorrupt, file.string() + ": " + e.what());
  }
  return ModelSource(std::move(impl));
}

ModelSource::Format ModelSource::format() const { return impl_->format; }
const fs::path& ModelSource::path() const { return impl_->path; }
const json& ModelSource::config() const { return impl_->config; }
std::string ModelSource::model_type() const { return impl_->config.value("model_type", ""); }
const std::vector<TensorInfo>& ModelSource::tensors() const { return impl_->tensors; }

const TensorInfo* ModelSource::Find(std::string_view name) const {
  const auto it = impl_->names.find(std::string(name));
  return it == impl_->names.end() ? nullptr : &impl_->tensors[it->second];
}

uint64_t ModelSource::parameter_count() const {
  uint64_t total = 0;
  for (const auto& tensor : impl_->tensors) total += tensor.elements;
  return total;
}

std::string ModelSource::dominant_type() const {
  std::map<std::string, uint64_t> count;
  for (const auto& tensor : impl_->tensors) count[tensor.stored_type] += tensor.elements;
  const auto most =
      std::max_element(count.begin(), count.end(), [](auto& a, auto& b) { return a.second < b.second; });
  return most == count.end() ? "" : most->first;
}

Status ModelSource::Read(std::string_view name, DType type, void* to, int threads) const {
  return ReadMany({{name, type, to}}, threads);
}

Status ModelSource::ReadMany(const std::vector<ReadRequest>& requests, int threads) const {
  // Work is cut into pieces of about a megabyte, taken by whichever thread is free.
  struct Piece {
    size_t tensor;
    DType type;
    void* to;
    uint64_t begin, end;
  };
  constexpr uint64_t kPieceElements = 1 << 18;
  std::vector<Piece> pieces;
  for (const auto& request : requests) {
    const auto it = impl_->names.find(std::string(request.name));
    if (it == impl_->names.end()) {
      return MakeError(Code::kNotFound,
                       impl_->path.string() + ": has no tensor '" + std::string(request.name) + "'");
    }
    const Impl::Stored& at = impl_->stored[it->second];
    if (!at.type && at.ggml_type < 0) {
      return MakeError(Code::kUnsupported, impl_->path.string() + ": tensor '" + std::string(request.name) +
                                               "' has type " + impl_->tensors[it->second].stored_type +
                                               ", not F32, F16 or BF16");
    }
    const uint64_t step = std::max<uint64_t>(1, kPieceElements / std::max<uint64_t>(1, at.columns));
    for (uint64_t row = 0; row < at.rows; row += step) {
      pieces.push_back({it->second, request.type, request.to, row, std::min(at.rows, row + step)});
    }
  }
  const Status read = InParallel(pieces.size(), threads, [&](size_t i) {
    const Piece& piece = pieces[i];
    return impl_->ReadRows(piece.tensor, piece.type, piece.to, piece.begin, piece.end);
  });
  if (!read.ok()) {
    Error error = read.error();
    error.message = impl_->path.string() + ": " + error.message;
    return error;
  }
  return Ok();
}

const void* ModelSource::Raw(std::string_view name, DType type) const {
  const auto it = impl_->names.find(std::string(name));
  if (it == impl_->names.end()) return nullptr;
  const Impl::Stored& at = impl_->stored[it->second];
  const bool aligned = reinterpret_cast<uintptr_t>(at.data) % DTypeSize(type) == 0;
  return at.type == type && at.head_rows == 0 && aligned ? at.data : nullptr;
}

std::optional<GgmlMatrix> ModelSource::Ggml(std::string_view name) const {
  const auto it = impl_->names.find(std::string(name));
  if (it == impl_->names.end()) return std::nullopt;
  const Impl::Stored& at = impl_->stored[it->second];
  const bool is_matrix = impl_->tensors[it->second].shape.size() == 2;
  if (at.ggml_type < 0 || at.type == DType::kF32 || !is_matrix) return std::nullopt;
  return GgmlMatrix{at.ggml_type, at.data, at.rows, at.columns, at.row_bytes, at.head_rows};
}

uint64_t GgmlMatrix::FileRow(uint64_t row) const {
  return head_rows == 0 ? row : static_cast<uint64_t>(GgufRow(static_cast<int64_t>(row), head_rows));
}

void ModelSource::GiveBack(std::string_view name) const {
  const auto it = impl_->names.find(std::string(name));
  if (it == impl_->names.end()) return;
  const Impl::Stored& at = impl_->stored[it->second];
  MappedFile::GiveBack(at.data, at.rows * at.row_bytes);
}

Result<TokenizerFiles> ModelSource::ReadTokenizerFiles() const {
  if (!impl_->gguf) return TokenizerFromFolder(impl_->path);
  return TokenizerFromGguf(std::shared_ptr<const GgufFile>(impl_, &*impl_->gguf));
}

Result<TokenizerFiles> ReadTokenizerFiles(const fs::path& path) {
  std::error_code ec;
  if (fs::is_directory(path, ec) && fs::exists(path / "tokenizer.json", ec)) return TokenizerFromFolder(path);
  GF_TRY(const Location location, Locate(path));
  if (location.format == ModelSource::Format::kHuggingFace) return TokenizerFromFolder(location.path);
  GF_TRY(GgufFile file, GgufFile::Open(location.path));
  return TokenizerFromGguf(std::make_shared<const GgufFile>(std::move(file)));
}

}  // namespace genflow::formats
