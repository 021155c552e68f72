#include "guard/json_fields.h"

#include <algorithm>

#include "base/strings.h"

namespace genflow::guard {

using nlohmann::json;

const json* JsonFields::Find(const char* name) const {
  if (!object_.is_object()) return nullptr;
  const auto at = object_.find(name);
  return at == object_.end() ? nullptr : &*at;
}

Error JsonFields::Wrong(const char* name, const char* expected) const {
  if (!object_.is_object()) return InvalidError(where_ + " is not an object");
  if (Find(name) == nullptr)
    return InvalidError(where_ + ": '" + name + "' is missing: expected " + expected);
  std::string value = Find(name)->dump(-1, ' ', false, json::error_handler_t::replace);
  if (value.size() > 40) value = value.substr(0, 37) + "...";
  return InvalidError(where_ + ": '" + name + "' is " + value + ": expected " + expected);
}

Status JsonFields::Only(const std::vector<std::string>& names) const {
  if (!object_.is_object()) return InvalidError(where_ + " is not an object");
  for (const auto& [name, value] : object_.items()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const auto near = NearestName(name, names);
    return InvalidError(where_ + ": unknown member '" + name + "'",
                        near ? "did you mean '" + *near + "'?" : "there are " + Join(names, ", "));
  }
  return Ok();
}

Result<std::string> JsonFields::Text(const char* name) const {
  const json* value = Find(name);
  if (value == nullptr || !value->is_string() || value->get_ref<const std::string&>().empty()) {
    return Wrong(name, "a string that is not empty");
  }
  return value->get<std::string>();
}

Result<std::string> JsonFields::Text(const char* name, const std::string& otherwise) const {
  const json* value = Find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) return Wrong(name, "a string");
  return value->get<std::string>();
}

Result<std::vector<std::string>> JsonFields::Texts(const char* name) const {
  const json* value = Find(name);
  constexpr const char* kExpected = "a list of at least one string";
  if (value == nullptr || !value->is_array() || value->empty()) return Wrong(name, kExpected);
  std::vector<std::string> out;
  for (const json& item : *value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) return Wrong(name, kExpected);
    out.push_back(item.get<std::string>());
  }
  return out;
}

Result<bool> JsonFields::Bool(const char* name, bool otherwise) const {
  const json* value = Find(name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) return Wrong(name, "true or false");
  return value->get<bool>();
}

Status JsonFields::OneOf(const char* name, const std::string& value,
                         const std::vector<std::string>& choices) const {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return Ok();
  const auto near = NearestName(value, choices);
  return InvalidError(where_ + ": '" + name + "' is '" + value + "': expected " + Join(choices, ", "),
                      near ? "did you mean '" + *near + "'?" : "");
}

}  // namespace genflow::guard
