#include "adapter/plain_lora.h"

#include <algorithm>
#include <cmath>

#include "adapter/folder.h"
#include "base/files.h"
#include "formats/safetensors.h"
#include "formats/weight_names.h"

namespace genflow::adapter {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kWeight = ".weight";
constexpr int64_t kMostNumbers = int64_t{1} << 30;  // that lower ranks may be filled up to

// Alpha of a module whose update is scaled by alpha / rank.
double EffectiveAlpha(const Update& update) { return update.scaling * static_cast<double>(update.a.rows); }

// Every module of rank `r`, by rows of A and columns of B that are zero.
void Pad(int64_t r, Update* update) {
  const int64_t before = update->a.rows;
  if (before == r) return;
  update->a.values.resize(static_cast<size_t>(r * update->a.columns), 0.0f);
  update->a.rows = r;
  Matrix b{update->b.rows, r, std::vector<float>(static_cast<size_t>(update->b.rows * r), 0.0f)};
  for (int64_t row = 0; row < b.rows; ++row) std::copy_n(update->b.row(row), before, b.row(row));
  update->b = std::move(b);
}

}  // namespace

Status CheckPlain(const Weights& weights, const fs::path& folder, const std::string& consumer) {
  const auto refuse = [&](const std::string& what) {
    return MakeError(
        Code::kUnsupported,
        "'" + (folder / kConfigFile).string() + "': " + what + ", and " + consumer + " have no place for it",
        "merge the adapter into the model instead: genflow models merge");
  };
  if (weights.config.use_dora) return refuse("use_dora is true: a magnitude for each row of the weights");
  if (!weights.replaced.empty()) return refuse("it brings '" + weights.replaced.begin()->first + "' whole");
  if (weights.updates.contains(formats::kEmbeddingWeight)) return refuse("it adapts the token embedding");
  return Ok();
}

double FoldScalings(Weights* weights) {
  auto& updates = weights->updates;
  const double first = EffectiveAlpha(updates.begin()->second);
  const bool shared = std::all_of(updates.begin(), updates.end(), [&](const auto& entry) {
    return std::abs(EffectiveAlpha(entry.second) - first) <= 1e-12 * std::abs(first);
  });
  if (shared) return first;
  const double alpha = weights->config.alpha;
  for (auto& [name, update] : updates) {
    const auto factor = static_cast<float>(EffectiveAlpha(update) / alpha);
    if (factor != 1.0f) {
      for (float& value : update.b.values) value *= factor;
    }
    update.scaling = alpha / static_cast<double>(update.a.rows);
  }
  return alpha;
}

Status WritePlainLora(const fs::path& to, const formats::ModelSource& base, const fs::path& folder,
                      const ReadOptions& options) {
  GF_TRY(Weights weights, ReadWeights(base, folder, options));
  GF_CHECK_OK(CheckPlain(weights, folder, "plain LoRA adapters"));
  int64_t r = 0;
  for (const auto& [name, update] : weights.updates) r = std::max(r, update.a.rows);
  int64_t padded = 0;
  for (const auto& [name, update] : weights.updates) padded += r * (update.a.columns + update.b.rows);
  if (padded > kMostNumbers) {
    return InvalidError("'" + (folder / kConfigFile).string() + "': filled up to rank " + std::to_string(r) +
                            ", its highest, the adapter would have " + std::to_string(padded) + " numbers",
                        "merge the adapter into the model instead: genflow models merge");
  }
  for (auto& [name, update] : weights.updates) Pad(r, &update);
  LoraConfig config = weights.config;
  config.r = r;
  config.alpha = FoldScalings(&weights);
  config.use_rslora = false;
  config.rank_pattern.clear();
  config.alpha_pattern.clear();
  config.init_lora_weights.clear();

  GF_TRY(const std::string text, ReadFile(folder / kConfigFile, 16 << 20));
  GF_CHECK_OK(MakeDirectories(to));
  GF_CHECK_OK(WriteFileAtomic(to / kConfigFile, LoraConfigText(config, text)));
  std::vector<formats::TensorView> views;
  for (const auto& [weight, update] : weights.updates) {
    const std::string module = weight.substr(0, weight.size() - kWeight.size());
    for (const bool is_a : {true, false}) {
      const Matrix& matrix = is_a ? update.a : update.b;
      views.push_back({TensorName(module, is_a ? Part::kA : Part::kB),
                       {matrix.rows, matrix.columns},
                       formats::DType::kF32,
                       matrix.values.data()});
    }
  }
  return formats::WriteSafetensors(to / kTensorFile, views);
}

}  // namespace genflow::adapter
