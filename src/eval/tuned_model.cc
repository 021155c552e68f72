#include "eval/tuned_model.h"

#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/train/adapter.h"

namespace genflow::eval {

Result<TunedModel> TunedModel::Load(const std::filesystem::path& path, const std::filesystem::path& adapter,
                                    const LoadOptions& options) {
  nn::SetThreads(options.threads);
  GF_TRY(const at::Device device, nn::ResolveDevice(options.device, options.why_not_cuda));
  GF_TRY(const at::ScalarType dtype, nn::ResolveDtype(options.dtype, device));
  GF_TRY(const formats::ModelSource source, formats::ModelSource::Open(path));
  GF_TRY(text::Tokenizer tokenizer, text::Tokenizer::FromModel(path));
  GF_TRY(auto model, nn::LoadCausalLM(source, {.dtype = dtype,
                                               .device = device,
                                               .quantization = options.quantization,
                                               .read_only = true,
                                               .progress = options.progress}));
  TunedModel out(std::move(model), std::move(tokenizer), text::ChatEncoder::FromModel(path));
  out.quantization_ = options.quantization;
  if (adapter.empty()) return out;
  GF_TRY(out.lora_, nn::train::LoadAdapter(*out.model_, adapter));
  out.lora_->SetEnabled(false);
  return out;
}

Status TunedModel::ApplyAdapter() {
  if (!lora_ || std::exchange(applied_, true)) return Ok();
  if (model_->dtype() == at::kFloat && quantization_ == nn::Quantization::kNone)
    return nn::train::MergeLora(*lora_);
  lora_->SetEnabled(true);
  return Ok();
}

Result<const text::ChatEncoder*> TunedModel::Chat() const {
  if (!chat_.ok()) return chat_.error();
  return &chat_.value();
}

std::string TunedModel::dtype() const { return nn::DtypeName(model_->dtype()); }

}  // namespace genflow::eval
