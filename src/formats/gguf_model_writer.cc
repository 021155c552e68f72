#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_model.h"
#include "formats/model_writer.h"
#include "formats/parallel.h"
#include "formats/weight_names.h"

namespace genflow::formats {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The last part of a path, also of "models/tiny/".
std::string FolderName(const fs::path& path) {
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

// The metadata of a model that came as a Hugging Face folder.
Status SetMetadata(const ModelSource& base, const GgufModelOptions& options, GgufWriter* writer) {
  const json& config = base.config();
  const std::string arch = GgufArchitecture(config.at("model_type").get<std::string>());
  const auto size = [&](const char* key) { return config.at(key).get<uint32_t>(); };
  const uint32_t heads = size("num_attention_heads"), head_dim = size("head_dim");
  writer->Set("general.architecture", arch);
  writer->Set("general.type", "model");
  writer->Set("general.name", options.name.empty() ? FolderName(base.path()) : options.name);
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

// The metadata of a GGUF, but for what is another model's or another file's.
Status CopyMetadata(const ModelSource& base, const GgufModelOptions& options, GgufWriter* writer) {
  GF_TRY(const GgufFile from, GgufFile::Open(base.path()));
  for (const auto& [key, value] : from.metadata()) {
    const bool replaced = key == "general.file_type" || key == "general.quantization_version" ||
                          (key == "general.name" && !options.name.empty());
    if (replaced || key == "general.alignment" || key.starts_with("split.")) continue;
    writer->Copy(from, key);
  }
  if (!options.name.empty()) writer->Set("general.name", options.name);
  return Ok();
}

// Brings rows from Hugging Face's order into the GGUF's, where that is another one.
Status Permute(const TensorInfo& tensor, const json& config, std::vector<std::byte>* data,
               std::vector<std::byte>* spare) {
  const int64_t heads = PermutedHeads(tensor.name, config);
  if (heads <= 0) return Ok();
  const int64_t rows = tensor.shape.front();
  if (rows % (heads * 2) != 0) return InvalidError("tensor '" + tensor.name + "' does not split into heads");
  const size_t row_bytes = data->size() / static_cast<size_t>(rows);
  spare->resize(data->size());
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(spare->data() + static_cast<size_t>(GgufRow(row, rows / heads)) * row_bytes,
                data->data() + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
  data->swap(*spare);
  return Ok();
}

struct Planned {
  TensorInfo tensor;
  std::string name;  // in the GGUF
  int32_t type;
};

Result<std::vector<Planned>> PlanTensors(const ModelContent& model, GgufType type) {
  const json& config = model.base.config();
  std::vector<Planned> out;
  GgufLayout layout;
  layout.layers = config.at("num_hidden_layers").get<int64_t>();
  layout.tied = true;
  layout.shared_v =
      layout.layers == 80 && (GgufArchitecture(model.base.model_type()) == "qwen2" ||
                              (GgufArchitecture(model.base.model_type()) == "llama" &&
                               config.at("num_attention_heads") != config.at("num_key_value_heads")));
  for (auto& tensor : model.Tensors()) {
    auto name = GgufTensorName(tensor.name);
    if (!name) return MakeError(Code::kUnsupported, "tensor '" + tensor.name + "' has no place in a GGUF");
    if (*name == "output.weight") layout.tied = false;
    out.push_back({std::move(tensor), *std::move(name), 0});
  }
  for (auto& planned : out) planned.type = TensorType(type, planned.name, planned.tensor.shape, layout);
  return out;
}

// Rows of f32 as `type`, spread over the cores.
Status Quantize(const std::vector<std::byte>& floats, const Planned& planned, std::vector<std::byte>* out) {
  const auto columns = static_cast<uint64_t>(planned.tensor.shape.back());
  const uint64_t rows = planned.tensor.elements / columns;
  GF_TRY(const uint64_t row_bytes, GgmlRowBytes(planned.type, columns));
  out->resize(rows * row_bytes);
  constexpr uint64_t kPieceElements = 1 << 16;
  const uint64_t step = std::max<uint64_t>(1, kPieceElements / columns);
  Status status = InParallel((rows + step - 1) / step, 0, [&](size_t piece) {
    const uint64_t begin = piece * step, count = std::min(step, rows - begin);
    return QuantizeRows(planned.type, reinterpret_cast<const float*>(floats.data()) + begin * columns, count,
                        columns, out->data() + begin * row_bytes);
  });
  if (status.ok()) return status;
  Error error = std::move(status).error();
  error.message = "tensor '" + planned.tensor.name + "' " + error.message;
  return error;
}

Status WriteGguf(const fs::path& file, const ModelContent& model, const GgufModelOptions& options) {
  const ModelSource& base = model.base;
  if (!IsGgufArchitecture(base.model_type())) return NoGgufArchitecture(base.model_type());
  const TensorInfo* embedding = base.Find(kEmbeddingWeight);
  if (embedding == nullptr)
    return InvalidError(base.path().string() + ": has no tensor 'model.embed_tokens.weight'");
  GgufWriter writer;
  if (base.format() == ModelSource::Format::kGguf) {
    GF_CHECK_OK(CopyMetadata(base, options, &writer));
  } else {
    GF_CHECK_OK(SetMetadata(base, options, &writer));
    GF_TRY(const TokenizerFiles files, base.ReadTokenizerFiles());
    GF_CHECK_OK(TokenizerToGguf(files, base.config(), embedding->shape.front(), &writer));
  }
  writer.SetU32("general.file_type", GgufFileType(options.type));
  writer.SetU32("general.quantization_version", kQuantizationVersion);

  const std::vector<float> factors = Llama3Factors(base.config());
  if (!factors.empty())
    writer.AddTensor("rope_freqs.weight", {static_cast<int64_t>(factors.size())}, GgmlType::kF32);
  GF_TRY(const std::vector<Planned> plan, PlanTensors(model, options.type));
  for (const auto& planned : plan) writer.AddTensor(planned.name, planned.tensor.shape, planned.type);
  GF_CHECK_OK(writer.Begin(file));
  if (!factors.empty()) GF_CHECK_OK(writer.WriteTensor(factors.data(), factors.size() * sizeof(float)));
  std::vector<std::byte> buffer, spare;
  for (const auto& planned : plan) {
    const DType element = planned.type == GgmlType::kF16    ? DType::kF16
                          : planned.type == GgmlType::kBF16 ? DType::kBF16
                                                            : DType::kF32;
    buffer.resize(planned.tensor.elements * DTypeSize(element));
    GF_CHECK_OK(model.fill(planned.tensor.name, element, buffer.data(), buffer.size()));
    GF_CHECK_OK(Permute(planned.tensor, base.config(), &buffer, &spare));
    if (IsQuantized(planned.type)) {
      GF_CHECK_OK(Quantize(buffer, planned, &spare));
      buffer.swap(spare);
    }
    GF_CHECK_OK(writer.WriteTensor(buffer.data(), buffer.size()));
  }
  return writer.Finish();
}

}  // namespace

Status WriteGgufModel(const fs::path& file, const ModelContent& model, const GgufModelOptions& options) {
  try {
    return WriteGguf(file, model, options);
  } catch (const json::exception& e) {
    return MakeError(Code::kCorrupt, model.base.path().string() + ": config.json: " + e.what());
  }
}

}  // namespace genflow::formats
