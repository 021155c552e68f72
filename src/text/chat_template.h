// Chat templates (Jinja), rendered as transformers' apply_chat_template does. Known differences of the
// engine, which is llama.cpp's: `length` of a string counts bytes, tojson(sort_keys=true) is an error.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace genflow::text {

struct Message {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;

  bool operator==(const Message&) const = default;
};

struct RenderOptions {
  bool add_generation_prompt = false;
  std::string bos_token, eos_token;
  nlohmann::ordered_json tools;      // null, or a list of tool schemas
  nlohmann::ordered_json variables;  // null, or an object of further template variables
  int64_t now = 0;                   // Unix time for strftime_now, which shows it in UTC; 0: the present
};

struct RenderedChat {
  std::string text;
  // Where the contents of messages stand: what must not be taken for control tokens. Sorted, apart.
  std::vector<TextRange> contents;
  // What {% generation %} blocks enclose, in order.
  std::vector<TextRange> generations;
};

// Immutable: Render is thread-safe. Cheap to copy.
class ChatTemplate {
 public:
  // A syntax error is kInvalid and names the line.
  static Result<ChatTemplate> Parse(std::string_view source);

  // `messages`: a list of objects with role and content. What raise_exception says is the error's message.
  Result<RenderedChat> RenderJson(const nlohmann::ordered_json& messages, const RenderOptions& options) const;
  Result<RenderedChat> Render(const std::vector<Message>& messages, const RenderOptions& options) const;

  const std::string& source() const;
  // Whether the template marks assistant text with {% generation %}.
  bool has_generation_blocks() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace genflow::text
