#include "data/records.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"
#include "data/byte_source.h"
#include "data/json_quote.h"

namespace genflow::data {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using simdjson::dom::object;

static_assert(LineReader::kPadding >= simdjson::SIMDJSON_PADDING);

// How a record says what a kind needs.
enum class Shape { kText, kMessages, kConversations, kCompletion, kInstruction, kPreference };

Kind KindOfShape(Shape shape) {
  if (shape == Shape::kText) return Kind::kText;
  return shape == Shape::kPreference ? Kind::kPreference : Kind::kMessages;
}

const char* TypeName(element_type type) {
  switch (type) {
    case element_type::ARRAY:
      return "a list";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "a boolean";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

std::optional<element> Find(object record, std::string_view key) {
  element value;
  if (record.at_key(key).get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

std::string FieldNames(object record) {
  std::vector<std::string> names;
  for (const auto field : record) names.push_back("'" + std::string(field.key) + "'");
  return names.empty() ? "no fields" : "fields " + Join(names, ", ");
}

Result<std::string> TextField(object record, std::string_view key) {
  const auto value = Find(record, key);
  if (!value)
    return InvalidError("no field '" + std::string(key) + "' (the record has " + FieldNames(record) + ")");
  std::string_view text;
  if (value->get(text) != simdjson::SUCCESS) {
    return InvalidError("field '" + std::string(key) + "' is " + TypeName(value->type()) + ", not a string");
  }
  return std::string(text);
}

// A message's content: a string, or OpenAI's list of parts of which each is text.
Result<std::string> ContentText(element content, const std::string& where) {
  std::string_view text;
  if (content.get(text) == simdjson::SUCCESS) return std::string(text);
  simdjson::dom::array parts;
  if (content.get(parts) != simdjson::SUCCESS) {
    return InvalidError(where + " has a content that is " + TypeName(content.type()) + ", not a string");
  }
  std::string out;
  for (const element part : parts) {
    if (part["text"].get(text) != simdjson::SUCCESS) {
      return InvalidError(where + " has a content part that is not text");
    }
    out += text;
  }
  return out;
}

std::string RoleOf(std::string_view from) {
  if (from == "human") return "user";
  if (from == "gpt" || from == "chatgpt" || from == "bing" || from == "bard" || from == "model")
    return "assistant";
  if (from == "function_response" || from == "observation" || from == "function") return "tool";
  return std::string(from);
}

Result<Message> MessageOf(element item, size_t index) {
  const std::string where = "message " + std::to_string(index);
  object fields;
  if (item.get(fields) != simdjson::SUCCESS)
    return InvalidError(where + " is " + TypeName(item.type()) + ", not an object");
  auto role = Find(fields, "role");
  if (!role) role = Find(fields, "from");
  std::string_view role_text;
  if (!role || role->get(role_text) != simdjson::SUCCESS) return InvalidError(where + " has no role");
  auto content = Find(fields, "content");
  if (!content) content = Find(fields, "value");
  const auto calls = Find(fields, "tool_calls");
  simdjson::dom::array list;
  const bool calls_tools = calls && calls->get(list) == simdjson::SUCCESS && list.size() > 0;
  if (calls_tools || (calls && content && content->is_null())) {
    return InvalidError(where + " is a tool call, which datasets do not carry");
  }
  if (!content) return InvalidError(where + " has no content");
  Message message;
  message.role = RoleOf(role_text);
  if (message.role != "system" && message.role != "user" && message.role != "assistant" &&
      message.role != "tool") {
    return InvalidError(where + " has the role '" + std::string(role_text) +
                        "', which is none of system, user, assistant, tool");
  }
  GF_TRY(message.content, ContentText(*content, where));
  return message;
}

Result<std::vector<Message>> MessagesOf(object record, std::string_view key) {
  const auto value = Find(record, key);
  simdjson::dom::array items;
  if (!value)
    return InvalidError("no field '" + std::string(key) + "' (the record has " + FieldNames(record) + ")");
  if (value->get(items) != simdjson::SUCCESS) {
    return InvalidError("field '" + std::string(key) + "' is " + TypeName(value->type()) + ", not a list");
  }
  std::vector<Message> messages;
  for (const element item : items) {
    GF_TRY(Message message, MessageOf(item, messages.size()));
    messages.push_back(std::move(message));
  }
  if (messages.empty()) return InvalidError("field '" + std::string(key) + "' is an empty list");
  return messages;
}

// A part of a preference: a string, or a conversation whose last message is it and whose earlier ones are put
// into `conversation`.
Result<std::string> PartOf(object record, std::string_view key, std::vector<Message>* conversation) {
  const auto value = Find(record, key);
  if (!value || !value->is_array()) return TextField(record, key);
  GF_TRY(auto messages, MessagesOf(record, key));
  std::string last = messages.back().content;
  messages.pop_back();
  *conversation = std::move(messages);
  return last;
}

}  // namespace

struct RecordMapper::Impl {
  RecordOptions options;
  bool all_meta = false;
  std::optional<Kind> kind;
  simdjson::dom::parser parser;

  // The shape of a record, by its fields; nothing where no shape fits the wanted kind.
  std::optional<Shape> ShapeOf(object record) const {
    const auto has = [&](std::string_view key) { return Find(record, key).has_value(); };
    const auto is_list = [&](std::string_view key) {
      const auto value = Find(record, key);
      return value && value->is_array();
    };
    const std::array<std::pair<Shape, bool>, 6> shapes = {{
        {Shape::kMessages, is_list("messages")},
        {Shape::kConversations, is_list("conversations")},
        {Shape::kPreference, has("chosen") && has("rejected")},
        {Shape::kText, has(options.text_field)},
        {Shape::kCompletion, has("prompt") && has("completion")},
        {Shape::kInstruction, has("instruction") && has("output")},
    }};
    for (const auto& [shape, fits] : shapes) {
      if (fits && (!kind || KindOfShape(shape) == *kind)) return shape;
    }
    return std::nullopt;
  }

  Error NoShape(object record) const {
    const std::string has = "the record has " + FieldNames(record);
    if (!kind) {
      return InvalidError(
          "cannot tell what the record is: no '" + options.text_field +
              "', 'messages', 'conversations', 'chosen' and 'rejected', or 'prompt' and 'completion' (" +
              has + ")",
          "set text_field to the field that holds the text");
    }
    if (*kind == Kind::kText) {
      return InvalidError("no field '" + options.text_field + "' (" + has + ")",
                          "set text_field to the field that holds the text");
    }
    if (*kind == Kind::kPreference) return InvalidError("no 'chosen' and 'rejected' (" + has + ")");
    return InvalidError(
        "no 'messages', 'conversations', 'prompt' and 'completion', or 'instruction' and 'output' (" + has +
        ")");
  }

  Status MapText(object record, TextRow* row, std::vector<std::string_view>* used) const {
    GF_TRY(row->text, TextField(record, options.text_field));
    used->push_back(options.text_field);
    return Ok();
  }

  static Status MapPreference(object record, PreferenceRow* row, std::vector<std::string_view>* used) {
    std::vector<Message> chosen, rejected, earlier;  // what stands before the answers, and before the prompt
    GF_TRY(row->rejected, PartOf(record, "rejected", &rejected));
    GF_TRY(row->chosen, PartOf(record, "chosen", &chosen));
    constexpr const char* kHint = "write the whole conversation as one text into 'prompt'";
    if (Find(record, "prompt")) {
      GF_TRY(row->prompt, PartOf(record, "prompt", &earlier));
      if (!earlier.empty()) {
        return InvalidError("field 'prompt' has " + std::to_string(earlier.size() + 1) +
                                " messages, of which a preference keeps the last",
                            kHint);
      }
    } else {
      if (chosen != rejected) return InvalidError("'chosen' and 'rejected' answer different conversations");
      if (chosen.empty()) {
        return InvalidError("no field 'prompt' (the record has " + FieldNames(record) + ")");
      }
      if (chosen.size() > 1) {
        return InvalidError("field 'chosen' has " + std::to_string(chosen.size()) +
                                " messages before the answer, of which a preference keeps one",
                            kHint);
      }
      row->prompt = chosen.front().content;
    }
    used->insert(used->end(), {"prompt", "chosen", "rejected"});
    return Ok();
  }

  static Status MapMessages(object record, Shape shape, MessagesRow* row,
                            std::vector<std::string_view>* used) {
    if (shape == Shape::kMessages || shape == Shape::kConversations) {
      const std::string_view key = shape == Shape::kMessages ? "messages" : "conversations";
      GF_TRY(row->messages, MessagesOf(record, key));
      used->push_back(key);
      if (const auto system = Find(record, "system"); system && row->messages.front().role != "system") {
        std::string_view text;
        if (system->get(text) == simdjson::SUCCESS) {
          if (!text.empty()) row->messages.insert(row->messages.begin(), {"system", std::string(text)});
          used->push_back("system");
        }
      }
      return Ok();
    }
    const bool alpaca = shape == Shape::kInstruction;
    GF_TRY(std::string user, TextField(record, alpaca ? "instruction" : "prompt"));
    GF_TRY(std::string assistant, TextField(record, alpaca ? "output" : "completion"));
    if (alpaca && Find(record, "input")) {
      GF_TRY(const std::string input, TextField(record, "input"));
      if (!input.empty()) user += "\n\n" + input;
    }
    row->messages = {{"user", std::move(user)}, {"assistant", std::move(assistant)}};
    if (alpaca) {
      used->insert(used->end(), {"instruction", "input", "output"});
    } else {
      used->insert(used->end(), {"prompt", "completion"});
    }
    return Ok();
  }

  // The id in the record, if there is one.
  Result<std::optional<std::string>> IdOfRecord(object record) const {
    const auto value = Find(record, options.id_field);
    if (!value || value->is_null()) return std::optional<std::string>();
    std::string_view text;
    if (value->get(text) == simdjson::SUCCESS) return std::optional<std::string>(text);
    if (value->is_array() || value->is_object()) {
      return InvalidError("field '" + options.id_field + "' is " + TypeName(value->type()) +
                          ", not a string or number");
    }
    return std::optional<std::string>(simdjson::minify(*value));
  }

  // The fields that are not `used`, as one JSON object. A field "meta" that is itself an object, or its JSON
  // text (as datasets of genflow have), is spread into it.
  std::string MetaOf(object record, const std::vector<std::string_view>& used) {
    std::string out;
    simdjson::dom::parser inner;
    const auto add = [&](std::string_view key, element value) {
      out += out.empty() ? '{' : ',';
      AppendQuoted(key, &out);
      out += ':';
      out += simdjson::minify(value);
    };
    for (const auto field : record) {
      if (std::find(used.begin(), used.end(), field.key) != used.end()) continue;
      if (!all_meta && std::find(options.meta_fields.begin(), options.meta_fields.end(), field.key) ==
                           options.meta_fields.end()) {
        continue;
      }
      object fields;
      element nested = field.value;
      std::string_view text;
      if (field.key == "meta" && nested.get(text) == simdjson::SUCCESS) {
        if (inner.parse(text.data(), text.size()).get(nested) != simdjson::SUCCESS) nested = field.value;
      }
      if (field.key == "meta" && nested.get(fields) == simdjson::SUCCESS) {
        for (const auto sub : fields) add(sub.key, sub.value);
      } else {
        add(field.key, field.value);
      }
    }
    return out.empty() ? "{}" : out + '}';
  }

  Status Map(std::string_view text, const std::string& source, const std::string& position, AnyRow* row) {
    element root;
    if (const auto error = parser.parse(text.data(), text.size(), false).get(root);
        error != simdjson::SUCCESS) {
      return InvalidError(std::string("not valid JSON: ") + simdjson::error_message(error));
    }
    object record;
    if (root.get(record) != simdjson::SUCCESS) {
      return InvalidError(std::string("the record is ") + TypeName(root.type()) + ", not an object");
    }
    const auto shape = ShapeOf(record);
    if (!shape) return NoShape(record);
    GF_TRY(auto id, IdOfRecord(record));
    std::vector<std::string_view> used;
    if (id) used.push_back(options.id_field);
    std::string final_id = id ? *std::move(id) : position;
    switch (KindOfShape(*shape)) {
      case Kind::kText: {
        TextRow text_row;
        GF_CHECK_OK(MapText(record, &text_row, &used));
        text_row.source = source;
        if (const auto given = Find(record, "source"); given && given->is_string()) {
          GF_TRY(text_row.source, TextField(record, "source"));
          used.push_back("source");
        }
        text_row.id = std::move(final_id);
        text_row.meta_json = MetaOf(record, used);
        *row = std::move(text_row);
        break;
      }
      case Kind::kMessages: {
        MessagesRow messages_row;
        GF_CHECK_OK(MapMessages(record, *shape, &messages_row, &used));
        messages_row.id = std::move(final_id);
        messages_row.meta_json = MetaOf(record, used);
        *row = std::move(messages_row);
        break;
      }
      case Kind::kPreference: {
        PreferenceRow preference_row;
        GF_CHECK_OK(MapPreference(record, &preference_row, &used));
        preference_row.id = std::move(final_id);
        preference_row.meta_json = MetaOf(record, used);
        *row = std::move(preference_row);
        break;
      }
    }
    kind = KindOf(*row);
    return Ok();
  }
};

RecordMapper::RecordMapper(RecordOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->kind = options.kind;
  impl_->all_meta =
      std::find(options.meta_fields.begin(), options.meta_fields.end(), "*") != options.meta_fields.end();
  impl_->options = std::move(options);
}
RecordMapper::~RecordMapper() = default;

Status RecordMapper::Map(std::string_view record, const std::string& source, const std::string& position,
                         AnyRow* row) {
  return impl_->Map(record, source, position, row);
}

}  // namespace genflow::data
