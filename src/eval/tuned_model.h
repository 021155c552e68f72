// A language model with its tokenizer and, where one is given, an adapter: measured first as it came, then
// tuned, in one load. Needs libtorch.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "nn/model.h"
#include "nn/train/lora.h"
#include "text/chat_encoding.h"

namespace genflow::eval {

struct LoadOptions {
  std::string device = "auto";
  std::string dtype = "auto";
  nn::Quantization quantization = nn::Quantization::kNone;  // of the base's matrices
  std::string* why_not_cuda = nullptr;                      // see nn::ResolveDevice
  int threads = 0;                                          // 0: libtorch's default
  // Tensors read so far; false stops with kInterrupted. May be empty.
  std::function<bool(int64_t done, int64_t total)> progress;
};

class TunedModel {
 public:
  // `adapter` "": no adapter. The model is the base until ApplyAdapter(), but a bad adapter is refused here.
  static Result<TunedModel> Load(const std::filesystem::path& model, const std::filesystem::path& adapter,
                                 const LoadOptions& options);

  bool has_adapter() const { return lora_.has_value(); }
  // From here on the model is the tuned one. In fp32 the adapter is merged, which is exact to rounding and
  // faster; in other types, and on a quantised base, it stays beside the weights, as PEFT computes it.
  Status ApplyAdapter();

  const nn::CausalLM& model() const { return *model_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }
  // The chat format; an error when the model has no chat template.
  Result<const text::ChatEncoder*> Chat() const;
  std::string device() const { return model_->device().str(); }
  std::string dtype() const;

 private:
  TunedModel(std::shared_ptr<nn::CausalLM> model, text::Tokenizer tokenizer, Result<text::ChatEncoder> chat)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)), chat_(std::move(chat)) {}

  std::shared_ptr<nn::CausalLM> model_;
  text::Tokenizer tokenizer_;
  Result<text::ChatEncoder> chat_;
  std::optional<nn::train::LoraSet> lora_;
  nn::Quantization quantization_ = nn::Quantization::kNone;
  bool applied_ = false;
};

}  // namespace genflow::eval
