#include "data/fields.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace genflow::data {

using simdjson::dom::element;
using simdjson::dom::object;

const std::vector<std::string>& FieldNames(Kind kind) {
  static const std::vector<std::string> kText = {"id", "text", "source", "content"};
  static const std::vector<std::string> kMessages = {"id", "system", "user", "assistant", "content"};
  static const std::vector<std::string> kPreference = {"id", "prompt", "chosen", "rejected", "content"};
  switch (kind) {
    case Kind::kText:
      return kText;
    case Kind::kMessages:
      return kMessages;
    case Kind::kPreference:
      return kPreference;
  }
  return kText;
}

Status CheckFieldPath(std::string_view path, Kind kind) {
  const auto& names = FieldNames(kind);
  if (std::find(names.begin(), names.end(), path) != names.end()) return Ok();
  if (path.starts_with("meta.") && path.size() > 5) return Ok();
  const auto near = NearestName(path, names);
  return InvalidError(std::string(KindName(kind)) + " rows have no field '" + std::string(path) + "'",
                      near ? "did you mean '" + *near + "'?"
                           : "they have " + Join(names, ", ") + " and what is below meta, such as meta.name");
}

std::string ContentOf(const AnyRow& row) {
  if (const auto* text = std::get_if<TextRow>(&row)) return text->text;
  std::string out;
  const auto add = [&](const std::string& text) {
    if (!out.empty()) out += '\n';
    out += text;
  };
  if (const auto* chat = std::get_if<MessagesRow>(&row)) {
    for (const auto& message : chat->messages) add(message.content);
  } else if (const auto* pair = std::get_if<PreferenceRow>(&row)) {
    add(pair->prompt);
    add(pair->chosen);
    add(pair->rejected);
  }
  return out;
}

struct FieldReader::Impl {
  const AnyRow* row = nullptr;
  bool parsed = false;
  std::optional<object> meta;
  simdjson::dom::parser parser;

  const std::optional<object>& Meta() {
    if (!parsed) {
      parsed = true;
      meta.reset();
      object root;
      if (parser.parse(MetaOf(*row)).get(root) == simdjson::SUCCESS) meta = root;
    }
    return meta;
  }

  static std::optional<std::string> Role(const MessagesRow& row, std::string_view role) {
    for (const auto& message : row.messages) {
      if (message.role == role) return message.content;
    }
    return std::nullopt;
  }

  static void Collect(object from, const std::string& prefix, std::vector<std::string>* out) {
    for (const auto field : from) {
      const std::string path = prefix + std::string(field.key);
      object nested;
      element value = field.value;
      if (value.get(nested) == simdjson::SUCCESS) {
        Collect(nested, path + ".", out);
      } else {
        out->push_back(path);
      }
    }
  }
};

FieldReader::FieldReader() : impl_(std::make_unique<Impl>()) {}
FieldReader::~FieldReader() = default;

void FieldReader::Set(const AnyRow& row) {
  impl_->row = &row;
  impl_->parsed = false;
}

std::optional<std::string> FieldReader::Get(std::string_view path) {
  const AnyRow& row = *impl_->row;
  if (path == "id") return IdOf(row);
  if (path == "content") return ContentOf(row);
  if (!path.starts_with("meta.")) {
    if (const auto* text = std::get_if<TextRow>(&row)) {
      if (path == "text") return text->text;
      if (path == "source") return text->source;
    } else if (const auto* chat = std::get_if<MessagesRow>(&row)) {
      return Impl::Role(*chat, path);
    } else if (const auto* pair = std::get_if<PreferenceRow>(&row)) {
      if (path == "prompt") return pair->prompt;
      if (path == "chosen") return pair->chosen;
      if (path == "rejected") return pair->rejected;
    }
    return std::nullopt;
  }
  const auto& meta = impl_->Meta();
  if (!meta) return std::nullopt;
  object at = *meta;
  std::string_view rest = path.substr(5);
  while (true) {
    const size_t dot = rest.find('.');
    element value;
    // A key may itself hold dots.
    if (at.at_key(rest).get(value) != simdjson::SUCCESS) {
      if (dot == std::string_view::npos || at.at_key(rest.substr(0, dot)).get(value) != simdjson::SUCCESS ||
          value.get(at) != simdjson::SUCCESS) {
        return std::nullopt;
      }
      rest.remove_prefix(dot + 1);
      continue;
    }
    if (value.is_null()) return std::nullopt;
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS) return std::string(text);
    return simdjson::minify(value);
  }
}

std::vector<std::string> FieldReader::MetaPaths() {
  std::vector<std::string> out;
  if (const auto& meta = impl_->Meta()) Impl::Collect(*meta, "meta.", &out);
  return out;
}

}  // namespace genflow::data
