#include "text/chat_encoding.h"

#include <algorithm>
#include <optional>

#include "base/strings.h"

namespace genflow::text {
namespace {

constexpr int64_t kRenderTime = 1721995200;  // 26 July 2024, 12:00 UTC

RenderOptions OptionsFor(const Tokenizer& tokenizer, bool generation_prompt) {
  RenderOptions options;
  options.add_generation_prompt = generation_prompt;
  options.bos_token = tokenizer.bos_token();
  options.eos_token = tokenizer.eos_token();
  options.now = kRenderTime;
  return options;
}

ChatOutcome Refuse(ChatRefusal kind, std::string message, std::string hint = {}) {
  ChatOutcome out;
  out.refusal = kind;
  out.error = InvalidError(std::move(message), std::move(hint));
  return out;
}

std::string Ordinal(size_t index) { return "message " + std::to_string(index + 1); }

// One answer in the rendered text: what is learned, from after the prompt to the end of the end-of-turn
// token.
struct Answer {
  TextRange learned;
  bool has_content = false;
};

}  // namespace

// Finds the answers of one conversation.
class AnswerFinder {
 public:
  AnswerFinder(const ChatEncoder& encoder, const std::vector<Message>& messages)
      : encoder_(encoder), messages_(messages) {}

  // Fills `rendered` and `answers`, or refuses.
  ChatOutcome Run() {
    auto whole = Render(messages_.size(), false);
    if (!whole.ok()) return Refuse(ChatRefusal::kTemplate, whole.error().message, whole.error().hint);
    rendered = std::move(*whole);
    if (encoder_.chat_template().has_generation_blocks()) return FromGenerationBlocks();
    bool any = false;
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role != "assistant") continue;
      any = true;
      if (ChatOutcome outcome = FromPrefixes(i); !outcome.ok()) return outcome;
    }
    if (!any) return NoAssistant();
    return {};
  }

  RenderedChat rendered;
  std::vector<Answer> answers;

 private:
  Result<RenderedChat> Render(size_t count, bool generation_prompt) const {
    return encoder_.chat_template().Render(
        std::vector<Message>(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(count)),
        OptionsFor(encoder_.tokenizer(), generation_prompt));
  }

  static ChatOutcome NoAssistant() {
    return Refuse(ChatRefusal::kNoAssistant,
                  "the conversation has no message of role 'assistant', so there is nothing to learn",
                  "training examples need at least one answer");
  }

  // The answer's range up to and with the special token that closes it, which stands after its content.
  ChatOutcome AddAnswer(TextRange range, const std::string& what) {
    size_t content_end = range.begin;
    bool has_content = false;
    for (const auto& content : rendered.contents) {
      if (content.begin >= range.end || content.end <= range.begin) continue;
      content_end = std::min(content.end, range.end);
      has_content = true;
    }
    const auto close =
        encoder_.tokenizer().FindSpecial(std::string_view(rendered.text).substr(0, range.end), content_end);
    if (!close) {
      return Refuse(
          ChatRefusal::kEndOfTurnUntrained,
          "no end-of-turn token closes " + what + ", so a model trained on it would never learn to stop",
          "the chat template must end an answer with one of the tokenizer's special tokens, inside the "
          "{% generation %} block where it has one");
    }
    answers.push_back({{range.begin, close->range.end}, has_content});
    return {};
  }

  ChatOutcome FromGenerationBlocks() {
    if (std::none_of(messages_.begin(), messages_.end(),
                     [](const Message& m) { return m.role == "assistant"; })) {
      return NoAssistant();
    }
    if (rendered.generations.empty()) {
      return Refuse(ChatRefusal::kNoAssistant,
                    "the chat template renders no {% generation %} block for this conversation");
    }
    for (size_t i = 0; i < rendered.generations.size(); ++i) {
      ChatOutcome outcome = AddAnswer(rendered.generations[i], "answer " + std::to_string(i + 1));
      if (!outcome.ok()) return outcome;
      answers.back().learned.end = std::max(answers.back().learned.end, rendered.generations[i].end);
    }
    return {};
  }

  // The answer is what its message adds to the conversation before it with the generation prompt.
  ChatOutcome FromPrefixes(size_t index) {
    const auto before = Render(index, false), prompt = Render(index, true), after = Render(index + 1, false);
    for (const auto* result : {&prompt, &after}) {
      if (!result->ok()) return Refuse(ChatRefusal::kTemplate, result->error().message, result->error().hint);
    }
    const std::string& text = after->text;
    const std::string_view content = Trim(messages_[index].content);
    const size_t known = before.ok() && text.starts_with(before->text) ? before->text.size() : 0;
    if (before.ok() &&
        (text.size() <= before->text.size() || text.find(content, known) == std::string::npos)) {
      return Refuse(ChatRefusal::kNoAssistant,
                    "the chat template renders nothing for " + Ordinal(index) + ", of role 'assistant'",
                    "use a chat template that shows the assistant's answers");
    }
    if (!text.starts_with(prompt->text) || !rendered.text.starts_with(text)) {
      return Refuse(
          ChatRefusal::kTemplate,
          "the chat template renders the start of the conversation differently once " +
              std::string(text.starts_with(prompt->text) ? "messages after " : "") + Ordinal(index) +
              (text.starts_with(prompt->text) ? " are there" : " is there") +
              ", so the tokens of that answer cannot be told apart",
          "mark the answers with {% generation %} in the chat template, or use one that only appends");
    }
    return AddAnswer({prompt->text.size(), text.size()}, Ordinal(index));
  }

  const ChatEncoder& encoder_;
  const std::vector<Message>& messages_;
};

Result<ChatEncoder> ChatEncoder::Create(Tokenizer tokenizer, ChatTemplate chat_template) {
  ChatEncoder out(std::move(tokenizer), std::move(chat_template));
  if (const auto eos = out.tokenizer_.eos_id()) out.stop_ids_.push_back(*eos);
  // The end-of-turn token is read off a small conversation.
  const std::vector<Message> sample = {{"user", "question"}, {"assistant", "answer"}};
  AnswerFinder finder(out, sample);
  if (finder.Run().ok() && !finder.answers.empty()) {
    const size_t content = finder.rendered.text.rfind("answer");
    const auto close =
        out.tokenizer_.FindSpecial(finder.rendered.text, content == std::string::npos ? 0 : content);
    if (close && std::find(out.stop_ids_.begin(), out.stop_ids_.end(), close->id) == out.stop_ids_.end()) {
      out.stop_ids_.push_back(close->id);
    }
  }
  return out;
}

Result<ChatEncoder> ChatEncoder::FromModel(const std::filesystem::path& path) {
  GF_TRY(Tokenizer tokenizer, Tokenizer::FromModel(path));
  if (tokenizer.chat_template().empty()) {
    return InvalidError(path.string() + ": the model has no chat template",
                        "use an instruction-tuned model, or add chat_template.jinja to its folder");
  }
  auto chat_template = ChatTemplate::Parse(tokenizer.chat_template());
  if (!chat_template.ok()) {
    Error error = chat_template.error();
    error.message = path.string() + ": " + error.message;
    return error;
  }
  return Create(std::move(tokenizer), std::move(*chat_template));
}

ChatOutcome ChatEncoder::EncodeChat(const std::vector<Message>& messages,
                                    const ChatEncoderOptions& options) const {
  AnswerFinder finder(*this, messages);
  ChatOutcome out = finder.Run();
  if (!out.ok()) return out;
  const std::string_view text = finder.rendered.text;
  std::vector<size_t> ends;
  out.chat.ids = tokenizer_.EncodeRendered(text, finder.rendered.contents, &ends);
  const auto& ids = out.chat.ids;
  out.chat.train.assign(ids.size(), 0);
  bool any_content = false;
  size_t token = 0;
  for (const auto& answer :
       finder.answers) {  // in the order of the text; a token is learned where it overlaps
    any_content = any_content || answer.has_content;
    while (token < ids.size() && ends[token] <= answer.learned.begin) ++token;
    for (; token < ids.size() && (token == 0 ? 0 : ends[token - 1]) < answer.learned.end; ++token)
      out.chat.train[token] = 1;
  }
  out.chat.trained_tokens = std::count(out.chat.train.begin(), out.chat.train.end(), 1);
  if (!any_content || out.chat.trained_tokens == 0) {
    return Refuse(ChatRefusal::kAllMasked,
                  "every label is masked: the conversation's answers hold no text to learn",
                  "remove examples with empty answers");
  }
  if (options.max_length > 0 && static_cast<int64_t>(ids.size()) > options.max_length) {
    out.refusal = ChatRefusal::kTooLong;
    out.error = InvalidError("the conversation has " + WithCommas(static_cast<int64_t>(ids.size())) +
                                 " tokens, more than the maximum of " + WithCommas(options.max_length),
                             "raise the maximum length, or shorten the example");
  }
  return out;
}

Result<std::string> ChatEncoder::RenderPrompt(const std::vector<Message>& messages) const {
  GF_TRY(RenderedChat rendered, template_.Render(messages, OptionsFor(tokenizer_, true)));
  return std::move(rendered.text);
}

Result<std::vector<int32_t>> ChatEncoder::EncodePrompt(const std::vector<Message>& messages) const {
  GF_TRY(const RenderedChat rendered, template_.Render(messages, OptionsFor(tokenizer_, true)));
  return tokenizer_.EncodeRendered(rendered.text, rendered.contents);
}

}  // namespace genflow::text
