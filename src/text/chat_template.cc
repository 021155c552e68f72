// The only file that calls llama.cpp's Jinja engine.
#include "text/chat_template.h"

#include <jinja/lexer.h>
#include <jinja/parser.h>
#include <jinja/runtime.h>
#include <json.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <stdexcept>

#include "base/strings.h"
#include "text/unicode.h"

namespace genflow::text {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxSource = 1 << 20;
constexpr int kMaxNesting = 200;
// Stand in the output where {% generation %} and {% endgeneration %} stood; refused in messages.
constexpr std::string_view kGenerationBegin = "\x02<genflow:generation>\x02";
constexpr std::string_view kGenerationEnd = "\x02<genflow:endgeneration>\x02";

// The engine passes over generation blocks; here their tags become expressions that print the marks. This is
// done to tokens, whose white space is already trimmed.
bool MarkGenerations(std::vector<jinja::token>* tokens) {
  using T = jinja::token;
  bool found = false;
  for (size_t i = 0; i + 2 < tokens->size(); ++i) {
    auto &open = (*tokens)[i], &name = (*tokens)[i + 1], &close = (*tokens)[i + 2];
    if (open.t != T::open_statement || name.t != T::identifier || close.t != T::close_statement) continue;
    if (name.value != "generation" && name.value != "endgeneration") continue;
    name.value = name.value == "generation" ? kGenerationBegin : kGenerationEnd;
    open.t = T::open_expression;
    name.t = T::string_literal;
    close.t = T::close_expression;
    found = true;
  }
  return found;
}

// How deep the parser would recurse, roughly: brackets, blocks and runs of unary operators.
int Nesting(const std::vector<jinja::token>& tokens) {
  using T = jinja::token;
  int depth = 0, deepest = 0, unary = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto& token = tokens[i];
    const bool is_unary = token.t == T::unary_operator || (token.t == T::identifier && token.value == "not");
    unary = is_unary ? unary + 1 : 0;
    switch (token.t) {
      case T::open_paren:
      case T::open_square_bracket:
      case T::open_curly_bracket:
        ++depth;
        break;
      case T::close_paren:
      case T::close_square_bracket:
      case T::close_curly_bracket:
        --depth;
        break;
      case T::identifier:
        if (i > 0 && tokens[i - 1].t == T::open_statement) {
          if (token.value.starts_with("end"))
            --depth;
          else if (token.value == "if" || token.value == "for" || token.value == "macro" ||
                   token.value == "elif" || token.value == "filter" || token.value == "call")
            ++depth;
        } else if (token.value == "if" || token.value == "else") {
          ++unary;
        }
        break;
      default:
        break;
    }
    deepest = std::max(deepest, depth + unary);
  }
  return deepest;
}

size_t LineOf(std::string_view source, size_t position) {
  return 1 + static_cast<size_t>(std::count(
                 source.begin(),
                 source.begin() + static_cast<std::ptrdiff_t>(std::min(position, source.size())), '\n'));
}

// What the parser says of the first `count` tokens; "" when it takes them.
std::string ParseMessage(const jinja::lexer_result& lexed, size_t count) {
  try {
    jinja::parse_from_tokens(
        {{lexed.tokens.begin(), lexed.tokens.begin() + static_cast<std::ptrdiff_t>(count)}, lexed.source});
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

// The innermost block that is open at the end, such as "'for'", and its place.
std::optional<std::pair<std::string, size_t>> UnclosedBlock(const std::vector<jinja::token>& tokens) {
  static constexpr std::string_view kBlocks[] = {"if", "for", "macro", "filter", "call"};
  std::vector<std::pair<std::string, size_t>> open;
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (tokens[i - 1].t != jinja::token::open_statement) continue;
    const std::string& name = tokens[i].value;
    if (std::find(std::begin(kBlocks), std::end(kBlocks), name) != std::end(kBlocks))
      open.emplace_back(name, tokens[i].pos);
    else if (name.starts_with("end") && !open.empty() && open.back().first == name.substr(3))
      open.pop_back();
  }
  return open.empty() ? std::nullopt : std::optional(open.back());
}

Error TemplateError(std::string_view source, size_t position, std::string what) {
  for (const std::string_view prefix : {"lexer: ", "parser: ", "Parser Error: "}) {
    if (what.starts_with(prefix)) what.erase(0, prefix.size());
  }
  if (what.starts_with("Unexpected token: ")) what.resize(std::min(what.size(), what.rfind(" of type ")));
  return InvalidError("chat template, line " + std::to_string(LineOf(source, position)) + ": " + what);
}

// The lexer's errors carry "lexer: WHAT\n...EXCERPT...\n   ^"; the excerpt, up to 40 bytes before the place,
// tells it.
Error LexerError(std::string_view source, const std::string& what) {
  const size_t first = what.find('\n'), second = what.find('\n', first + 1);
  size_t position = source.size();
  if (second != std::string::npos && second - first > 7) {
    std::string excerpt = what.substr(first + 4, second - first - 7);
    jinja::string_replace_all(excerpt, "\xe2\x86\xb5", "\n");
    const size_t at = source.find(excerpt);
    if (at != std::string_view::npos) position = at + (what.size() - second - 1) - 4;
  }
  return TemplateError(source, position, what.substr(0, first));
}

// The parser's errors mostly do not say where; the place is the shortest run of tokens that gives the same
// error.
Error ParserError(const jinja::lexer_result& lexed, const std::string& what) {
  const std::string message = what.substr(0, what.find('\n'));
  const auto unclosed = UnclosedBlock(lexed.tokens);
  if (unclosed && (message == "Unexpected token type" || message.find("(Got )") != std::string::npos)) {
    return TemplateError(lexed.source, unclosed->second, "the '" + unclosed->first + "' block is not closed");
  }
  size_t low = 0, high = lexed.tokens.size();
  while (low + 1 < high) {
    const size_t middle = (low + high) / 2;
    const std::string found = ParseMessage(lexed, middle);
    (found.substr(0, found.find('\n')) == message ? high : low) = middle;
  }
  return TemplateError(lexed.source, high > 0 ? lexed.tokens[high - 1].pos : 0, message);
}

// Run-time errors: "\n---\nWhile executing NODE at line L, column C in source:\n...\nError: WHAT".
Error RunError(const std::string& what) {
  std::string message = what, line;
  if (const size_t at = what.find(" at line "); at != std::string::npos) {
    const size_t begin = at + 9, end = what.find(',', begin);
    if (end != std::string::npos) line = what.substr(begin, end - begin);
  }
  if (const size_t at = what.find("\nError: "); at != std::string::npos) message = what.substr(at + 8);
  constexpr std::string_view kRaised = "Jinja Exception: ";
  const bool raised = message.starts_with(kRaised);
  if (raised) message.erase(0, kRaised.size());
  return InvalidError("chat template" + (line.empty() ? "" : ", line " + line) +
                      (raised ? " refuses: " : ": ") + message);
}

// strftime_now(format) in UTC. The engine's own goes by the local time zone, and is not thread-safe.
jinja::value StrftimeNow(const jinja::func_args& args) {
  args.ensure_vals<jinja::value_string>();
  const std::string format = args.get_pos(0)->as_string().str();
  std::tm utc{};
  char text[100];
  if (::gmtime_r(&args.ctx.current_time, &utc) == nullptr ||
      std::strftime(text, sizeof text, format.c_str(), &utc) == 0) {
    throw std::runtime_error("strftime_now cannot format the time as '" + format + "'");
  }
  return jinja::mk_val<jinja::value_string>(std::string(text));
}

// Marks every string below `value` as the user's.
void MarkInput(const jinja::value& value) {
  if (jinja::is_val<jinja::value_string>(value)) {
    value->val_str.mark_input();
  } else if (jinja::is_val<jinja::value_array>(value)) {
    for (const auto& item : value->as_array()) MarkInput(item);
  } else if (jinja::is_val<jinja::value_object>(value)) {
    for (const auto& [key, item] : value->as_ordered_object()) MarkInput(item);
  }
}

// Marks what stands under "content" (and what tools and reasoning bring), not roles and other names.
void MarkContents(const jinja::value& messages) {
  if (!jinja::is_val<jinja::value_array>(messages)) return;
  for (const auto& message : messages->as_array()) {
    if (!jinja::is_val<jinja::value_object>(message)) continue;
    for (const auto& [key, item] : message->as_ordered_object()) {
      if (key->as_string().str() != "role") MarkInput(item);
    }
  }
}

// Splits the engine's output into text, user ranges and generation ranges.
RenderedChat Collect(const jinja::string& output) {
  RenderedChat out;
  std::vector<size_t> open;
  for (const auto& part : output.parts) {
    if (part.is_input) {
      if (part.val.empty()) continue;
      const size_t begin = out.text.size();
      out.text += part.val;
      if (!out.contents.empty() && out.contents.back().end == begin)
        out.contents.back().end = out.text.size();
      else
        out.contents.push_back({begin, out.text.size()});
      continue;
    }
    std::string_view rest = part.val;
    while (!rest.empty()) {
      const size_t begin = rest.find(kGenerationBegin), end = rest.find(kGenerationEnd),
                   at = std::min(begin, end);
      out.text += rest.substr(0, at);
      if (at == std::string_view::npos) break;
      if (begin < end) {
        open.push_back(out.text.size());
      } else if (!open.empty()) {
        out.generations.push_back({open.back(), out.text.size()});
        open.pop_back();
      }
      rest.remove_prefix(at + (begin < end ? kGenerationBegin : kGenerationEnd).size());
    }
  }
  return out;
}

}  // namespace

struct ChatTemplate::Impl {
  std::string source;
  jinja::program program;
  bool has_generations = false;
};

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  if (Trim(source).empty()) return InvalidError("the chat template is empty");
  if (source.size() > kMaxSource) return InvalidError("the chat template is larger than 1 MiB");
  auto impl = std::make_shared<Impl>();
  impl->source = source;
  jinja::lexer_result lexed;
  try {
    lexed = jinja::lexer().tokenize(impl->source);
  } catch (const std::exception& e) {
    return LexerError(source, e.what());
  }
  if (Nesting(lexed.tokens) > kMaxNesting) {
    return InvalidError("the chat template is nested deeper than " + std::to_string(kMaxNesting) + " levels");
  }
  impl->has_generations = MarkGenerations(&lexed.tokens);
  try {
    impl->program = jinja::parse_from_tokens(lexed);
  } catch (const std::exception& e) {
    return ParserError(lexed, e.what());
  }
  return ChatTemplate(std::move(impl));
}

Result<RenderedChat> ChatTemplate::RenderJson(const ordered_json& messages,
                                              const RenderOptions& options) const {
  try {
    ordered_json globals = ordered_json::object();
    if (options.variables.is_object()) globals = options.variables;
    globals["messages"] = messages;
    globals["add_generation_prompt"] = options.add_generation_prompt;
    globals["bos_token"] = options.bos_token;
    globals["eos_token"] = options.eos_token;
    if (!options.tools.is_null()) globals["tools"] = options.tools;
    const std::string text = globals.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    if (text.find("<genflow:") != std::string::npos &&
        (text.find("<genflow:generation>") != std::string::npos ||
         text.find("<genflow:endgeneration>") != std::string::npos)) {
      return InvalidError("a message holds the reserved text '<genflow:generation>'");
    }
    jinja::context context(impl_->source);
    jinja::global_from_json(context, common_json::parse(text), false);
    if (options.now != 0) context.current_time = options.now;
    context.set_val("strftime_now", jinja::mk_val<jinja::value_func>("strftime_now", StrftimeNow));
    MarkContents(context.get_val("messages"));
    const jinja::value_array output = jinja::runtime(context).execute(impl_->program);
    return Collect(jinja::runtime::gather_string_parts(output)->val_str);
  } catch (const std::exception& e) {
    return RunError(e.what());
  } catch (...) {  // {% break %} or {% continue %} outside a loop
    return InvalidError("chat template: 'break' or 'continue' outside a loop");
  }
}

Result<RenderedChat> ChatTemplate::Render(const std::vector<Message>& messages,
                                          const RenderOptions& options) const {
  ordered_json list = ordered_json::array();
  for (const auto& message : messages) {
    ordered_json entry;
    entry["role"] = message.role;
    entry["content"] = IsUtf8(message.content) ? message.content : ReplaceInvalidUtf8(message.content);
    list.push_back(std::move(entry));
  }
  return RenderJson(list, options);
}

const std::string& ChatTemplate::source() const { return impl_->source; }
bool ChatTemplate::has_generation_blocks() const { return impl_->has_generations; }

}  // namespace genflow::text
