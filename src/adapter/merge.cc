#include "adapter/merge.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "formats/dtype.h"
#include "formats/parallel.h"
#include "formats/weight_names.h"

namespace genflow::adapter {
namespace {

namespace fs = std::filesystem;
using formats::DType;

constexpr int64_t kRowsAtOnce = 16;

// to[0, n) += factor * from[0, n). Products and sums are rounded one by one, so every machine gives the same
// bits.
#if defined(__x86_64__)
__attribute__((target("avx2"))) void AddScaledAvx2(const float* from, float factor, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2");
#endif
void AddScaledPlain(const float* from, float factor, float* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}
void AddScaled(const float* from, float factor, float* to, int64_t n) {
#if defined(__x86_64__)
  if (kHasAvx2) return AddScaledAvx2(from, factor, to, n);
#endif
  AddScaledPlain(from, factor, to, n);
}

// One row of the weight, the update folded in. `delta` is room for a row.
void MergeRow(const Update& update, int64_t row, float* weight, std::vector<float>* delta) {
  const int64_t columns = update.a.columns;
  std::fill(delta->begin(), delta->end(), 0.0f);
  for (int64_t k = 0; k < update.a.rows; ++k)
    AddScaled(update.a.row(k), update.b.row(row)[k], delta->data(), columns);
  AddScaled(delta->data(), static_cast<float>(update.scaling), weight, columns);
  if (update.magnitude.empty()) return;
  double squares = 0;
  for (int64_t i = 0; i < columns; ++i) squares += static_cast<double>(weight[i]) * weight[i];
  if (squares == 0) return;  // a row without a direction
  const float factor = update.magnitude[static_cast<size_t>(row)] / static_cast<float>(std::sqrt(squares));
  for (int64_t i = 0; i < columns; ++i) weight[i] *= factor;
}

Status MergeInto(const Update& update, std::vector<float>* weight) {
  const int64_t rows = update.b.rows, columns = update.a.columns;
  return formats::InParallel(static_cast<size_t>((rows + kRowsAtOnce - 1) / kRowsAtOnce), 0,
                             [&](size_t piece) -> Status {
                               std::vector<float> delta(static_cast<size_t>(columns));
                               const int64_t begin = static_cast<int64_t>(piece) * kRowsAtOnce;
                               for (int64_t row = begin; row < std::min(rows, begin + kRowsAtOnce); ++row)
                                 MergeRow(update, row, weight->data() + row * columns, &delta);
                               return Ok();
                             });
}

}  // namespace

Result<formats::ModelContent> MergedModel(const formats::ModelSource& base, const fs::path& folder,
                                          const ReadOptions& options) {
  GF_TRY(Weights read, ReadWeights(base, folder, options));
  const auto weights = std::make_shared<const Weights>(std::move(read));
  formats::ModelContent out{base, nullptr};
  for (const char* name : {formats::kHeadWeight, formats::kEmbeddingWeight}) {
    const bool changed = weights->updates.contains(name) || weights->replaced.contains(name);
    out.untie = out.untie || (changed && base.config().value("tie_word_embeddings", false));
  }
  out.fill = [base, weights](std::string_view tensor, DType type, void* to, size_t bytes) -> Status {
    const std::string name(tensor);
    const formats::TensorInfo* stored = FindWeight(base, name);
    if (stored == nullptr) return MakeError(Code::kInternal, "the base has no tensor '" + name + "'");
    const auto whole = weights->replaced.find(name);
    const auto update = weights->updates.find(name);
    if (whole == weights->replaced.end() && update == weights->updates.end())
      return base.Read(stored->name, type, to);
    if (bytes != stored->elements * formats::DTypeSize(type))
      return MakeError(Code::kInternal, "the buffer for '" + name + "' has the wrong size");
    std::vector<float> merged;
    if (whole != weights->replaced.end()) {
      merged = whole->second.values;
    } else {
      merged.resize(stored->elements);
      GF_CHECK_OK(base.Read(stored->name, DType::kF32, merged.data()));
    }
    if (update != weights->updates.end()) GF_CHECK_OK(MergeInto(update->second, &merged));
    formats::ConvertElements(merged.data(), DType::kF32, to, type, merged.size());
    return Ok();
  };
  return out;
}

}  // namespace genflow::adapter
