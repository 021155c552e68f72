#include "adapter/weights.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "adapter/folder.h"
#include "formats/dtype.h"
#include "formats/safetensors.h"
#include "formats/weight_names.h"

namespace genflow::adapter {
namespace {

namespace fs = std::filesystem;

using formats::ShapeText;

constexpr std::string_view kWeight = ".weight";

std::vector<int64_t> ShapeOf(const Matrix& matrix) { return {matrix.rows, matrix.columns}; }

Matrix Transposed(const Matrix& from) {
  Matrix out{from.columns, from.rows, std::vector<float>(from.values.size())};
  for (int64_t i = 0; i < from.rows; ++i) {
    for (int64_t j = 0; j < from.columns; ++j) out.row(j)[i] = from.row(i)[j];
  }
  return out;
}

class WeightsReader {
 public:
  WeightsReader(const formats::ModelSource& base, const fs::path& folder)
      : base_(base), file_(folder / kTensorFile) {}

  Result<Weights> Read(LoraConfig config) {
    out_.config = std::move(config);
    GF_TRY(const formats::SafetensorsFile tensors, formats::SafetensorsFile::Open(file_));
    for (const auto& tensor : tensors.tensors()) GF_CHECK_OK(Take(tensor));
    if (out_.updates.empty()) return Bad("has no LoRA tensor");
    GF_CHECK_OK(EveryTargetIsThere());
    for (auto& [name, update] : out_.updates) GF_CHECK_OK(Check(name, &update));
    return std::move(out_);
  }

 private:
  Error Bad(const std::string& what, const std::string& hint = {}) const {
    return InvalidError("'" + file_.string() + "': " + what, hint);
  }
  Error NoPlace(const std::string& tensor) const {
    return Bad("tensor '" + tensor + "' has no place in the model",
               "the adapter belongs to another base model");
  }

  Result<Matrix> Floats(const formats::SafetensorsTensor& tensor) const {
    const auto type = formats::ParseDType(tensor.dtype);
    if (!type)
      return Bad("tensor '" + tensor.name + "' has type " + tensor.dtype + ", expected F32, F16 or BF16");
    if (tensor.shape.empty() || tensor.shape.size() > 2)
      return Bad("tensor '" + tensor.name + "' has shape " + ShapeText(tensor.shape) +
                 ", expected one or two dimensions");
    Matrix out{tensor.shape.size() == 2 ? tensor.shape[0] : 1, tensor.shape.back(),
               std::vector<float>(tensor.elements)};
    formats::ConvertElements(tensor.data, *type, out.values.data(), formats::DType::kF32, tensor.elements);
    if (!std::all_of(out.values.begin(), out.values.end(), [](float value) { return std::isfinite(value); }))
      return Bad("tensor '" + tensor.name + "' holds a NaN or an infinity",
                 "the training that made it went astray");
    return out;
  }

  Status Take(const formats::SafetensorsTensor& tensor) {
    const auto place = ParseTensorName(tensor.name);
    const std::string weight = place ? place->module + std::string(kWeight) : "";
    if (!place || FindWeight(base_, weight) == nullptr) return NoPlace(tensor.name);
    if (place->part == Part::kBase) return Ok();  // the base's own weight once more
    if (place->part == Part::kWhole) return Replace(tensor, place->module, weight);
    GF_TRY(Matrix values, Floats(tensor));
    Update& update = out_.updates[weight];
    switch (place->part) {
      case Part::kA:
        update.a = std::move(values);
        break;
      case Part::kB:
        update.b = std::move(values);
        break;
      case Part::kEmbeddingA:  // [r, tokens]
        update.b = Transposed(values);
        break;
      case Part::kEmbeddingB:  // [width, r]
        update.a = Transposed(values);
        break;
      default:
        update.magnitude = std::move(values.values);
    }
    return Ok();
  }

  // A weight that is there whole: asked for by modules_to_save, or a copy of the base's that PEFT puts beside
  // the update of an embedding.
  Status Replace(const formats::SafetensorsTensor& tensor, const std::string& module,
                 const std::string& weight) {
    const formats::TensorInfo& own = *FindWeight(base_, weight);
    if (tensor.shape != own.shape) {
      return Bad("tensor '" + tensor.name + "' has shape " + ShapeText(tensor.shape) + ", the model's is " +
                     ShapeText(own.shape),
                 "tokens were added to the vocabulary: resize the base model first");
    }
    GF_TRY(Matrix values, Floats(tensor));
    if (SavedBy(out_.config, module) == nullptr) {
      if (own.shape.size() != 2) return NoPlace(tensor.name);
      std::vector<float> before(values.values.size());
      GF_CHECK_OK(base_.Read(own.name, formats::DType::kF32, before.data()));
      if (before == values.values) return Ok();
    }
    out_.replaced[weight] = std::move(values);
    return Ok();
  }

  // Refuses an adapter that lacks the update of a module which its configuration adapts.
  Status EveryTargetIsThere() const {
    for (const auto& tensor : base_.tensors()) {
      if (tensor.shape.size() != 2 || !tensor.name.ends_with(kWeight) || formats::LayerOf(tensor.name) < 0 ||
          out_.updates.contains(tensor.name)) {
        continue;
      }
      const std::string module = tensor.name.substr(0, tensor.name.size() - kWeight.size());
      GF_TRY(const bool adapted, Adapts(out_.config, module));
      if (adapted) return Bad("tensor '" + TensorName(module, Part::kA) + "' is missing");
    }
    return Ok();
  }

  Status Check(const std::string& weight, Update* update) const {
    const auto& shape = FindWeight(base_, weight)->shape;
    const Matrix &a = update->a, &b = update->b;
    if (a.values.empty() || b.values.empty())
      return Bad("only one of the two matrices for '" + weight + "' is there");
    GF_TRY(const LoraRank rank, RankOf(out_.config, weight.substr(0, weight.size() - kWeight.size())));
    if (shape.size() != 2 || b.rows != shape[0] || a.columns != shape[1] || a.rows != b.columns ||
        a.rows != rank.r) {
      return Bad("the matrices " + ShapeText(ShapeOf(b)) + " x " + ShapeText(ShapeOf(a)) + " do not fit '" +
                     weight + "' " + ShapeText(shape) + " with rank " + std::to_string(rank.r),
                 "the adapter belongs to another base model, or its configuration to another adapter");
    }
    update->scaling = rank.scaling;
    const bool has_magnitude = !update->magnitude.empty();
    if (has_magnitude != out_.config.use_dora) {
      return Bad("the magnitudes of '" + weight + "' are " +
                 (has_magnitude ? "there, and use_dora is false" : "missing, and use_dora is true"));
    }
    if (has_magnitude && update->magnitude.size() != static_cast<size_t>(shape[0])) {
      return Bad("'" + weight + "' has " + std::to_string(shape[0]) + " rows and " +
                 std::to_string(update->magnitude.size()) + " magnitudes");
    }
    return Ok();
  }

  const formats::ModelSource& base_;
  fs::path file_;
  Weights out_;
};

}  // namespace

const formats::TensorInfo* FindWeight(const formats::ModelSource& base, const std::string& name) {
  const formats::TensorInfo* found = base.Find(name);
  return found == nullptr && name == formats::kHeadWeight && base.config().value("tie_word_embeddings", false)
             ? base.Find(formats::kEmbeddingWeight)
             : found;
}

Result<Weights> ReadWeights(const formats::ModelSource& base, const fs::path& folder,
                            const ReadOptions& options) {
  GF_TRY(LoraConfig config, ReadLoraConfig(folder));
  if (!options.residual_base)
    GF_CHECK_OK(CheckKeepsBase(config, folder, "or give the residual model, and say so"));
  return WeightsReader(base, folder).Read(std::move(config));
}

}  // namespace genflow::adapter
