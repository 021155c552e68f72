// Conversations to token ids, with a mark on each token that a model is to learn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace genflow::text {

struct EncodedChat {
  std::vector<int32_t> ids;
  // 1 on the tokens of assistant answers and on the end-of-turn token that closes each; else 0. As labels:
  // token i is predicted from the tokens before it.
  std::vector<uint8_t> train;
  int64_t trained_tokens = 0;
};

// What went wrong with one conversation; `kind` tells the refusals apart, `error` is the sentence.
enum class ChatRefusal {
  kNone,
  kNoAssistant,         // no assistant message, or the template renders nothing for it
  kAllMasked,           // no token is marked
  kEndOfTurnUntrained,  // no end-of-turn token closes the answers, so a model would never learn to stop
  kTooLong,             // more tokens than max_length
  kTemplate,            // the template failed, or is not stable under appending messages
};

struct ChatOutcome {
  ChatRefusal refusal = ChatRefusal::kNone;
  EncodedChat chat;  // also filled for kTooLong
  Error error;       // set unless refusal is kNone
  bool ok() const { return refusal == ChatRefusal::kNone; }
};

struct ChatEncoderOptions {
  int64_t max_length = 0;  // tokens; 0: no limit
};

// A tokenizer and a template that belong together. Immutable, thread-safe, cheap to copy. What it renders
// does not depend on the day: to a template that asks for the date it is 26 July 2024, the date that Llama's
// own templates fall back to.
class ChatEncoder {
 public:
  // Fails when the model has no chat template.
  static Result<ChatEncoder> FromModel(const std::filesystem::path& path);
  static Result<ChatEncoder> Create(Tokenizer tokenizer, ChatTemplate chat_template);

  // Ids of the whole conversation, answers marked.
  ChatOutcome EncodeChat(const std::vector<Message>& messages, const ChatEncoderOptions& options = {}) const;
  // Ids of the conversation with the generation prompt, ready for a model to answer.
  Result<std::vector<int32_t>> EncodePrompt(const std::vector<Message>& messages) const;
  Result<std::string> RenderPrompt(const std::vector<Message>& messages) const;

  // Ids that end an answer: eos and the template's end-of-turn token, without duplicates.
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ChatTemplate& chat_template() const { return template_; }

 private:
  ChatEncoder(Tokenizer tokenizer, ChatTemplate chat_template)
      : tokenizer_(std::move(tokenizer)), template_(std::move(chat_template)) {}

  Tokenizer tokenizer_;
  ChatTemplate template_;
  std::vector<int32_t> stop_ids_;
};

}  // namespace genflow::text
