// Conversations with a model and, beside it, with its tuned self.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nn/generate.h"
#include "nn/model.h"
#include "nn/train/lora.h"
#include "text/chat_encoding.h"

namespace genflow::session {

struct LoadRequest {
  std::filesystem::path model, adapter;  // adapter "": none
  std::string device = "auto", dtype = "auto";
  int threads = 1;
};

struct ChatRequest {
  std::vector<text::Message> messages_base, messages_tuned;  // each with its own answers so far
  nn::SamplingOptions sampling;
  int64_t max_new_tokens = 512;
};

struct Answer {
  std::string text;
  std::string finish;  // as nn::FinishReasonName, or "cancelled"
  int64_t tokens = 0, prompt_tokens = 0;
  double seconds = 0;
};

class Chat {
 public:
  using Progress = std::function<void(int64_t done, int64_t total)>;
  static Result<Chat> Load(const LoadRequest& request, const Progress& progress, std::string* why_not_cuda);

  // Answers of the base and, where there is an adapter, at the same time of the tuned model. `on_text` gets
  // new text from two threads; `on_end` likewise, once for each. False of `go_on` ends both.
  void Answers(const ChatRequest& request, const std::function<bool()>& go_on,
               const std::function<void(bool tuned, std::string_view text)>& on_text,
               const std::function<void(bool tuned, const Result<Answer>& answer)>& on_end) const;

  bool has_adapter() const { return tuned_ != nullptr; }
  std::string device() const { return base_->device().str(); }
  std::string dtype() const;
  int64_t context() const { return base_->config().max_positions; }

 private:
  Chat(std::shared_ptr<nn::CausalLM> base, text::ChatEncoder encoder)
      : base_(std::move(base)), encoder_(std::move(encoder)) {}
  Result<Answer> One(const nn::CausalLM& model, const std::vector<text::Message>& messages,
                     const ChatRequest& request, const std::function<bool()>& go_on,
                     const std::function<void(std::string_view text)>& on_text) const;

  std::shared_ptr<nn::CausalLM> base_;
  std::shared_ptr<nn::CausalLM> tuned_;  // shares the base's weights
  std::optional<nn::train::LoraSet> lora_;
  text::ChatEncoder encoder_;
};

}  // namespace genflow::session
