#include "adapter/gguf_lora.h"

#include "adapter/plain_lora.h"
#include "formats/gguf_lora.h"
#include "formats/weight_names.h"

namespace genflow::adapter {

Status ExportGgufLora(const std::filesystem::path& file, const formats::ModelSource& base,
                      const std::filesystem::path& folder, const GgufLoraOptions& options) {
  GF_TRY(Weights weights, ReadWeights(base, folder, options.read));
  GF_CHECK_OK(CheckPlain(weights, folder, "llama.cpp's LoRA files"));
  if (weights.updates.contains(formats::kHeadWeight) && base.Find(formats::kHeadWeight) == nullptr) {
    return MakeError(Code::kUnsupported,
                     "'" + folder.string() +
                         "': adapts 'lm_head', and in llama.cpp the output of this model is its "
                         "token embedding",
                     "merge the adapter into the model instead: genflow models merge");
  }
  formats::GgufLora out;
  out.name = options.name;
  out.alpha = static_cast<float>(FoldScalings(&weights));
  for (const auto& [name, update] : weights.updates) {
    out.pairs.push_back({name, update.a.rows, update.a.columns, update.b.rows, update.a.values.data(),
                         update.b.values.data()});
  }
  return formats::WriteGgufLora(file, base, out, options.type);
}

}  // namespace genflow::adapter
