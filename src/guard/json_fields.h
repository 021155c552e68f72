// Reading one JSON object with messages that say where and what was expected.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::guard {

class JsonFields {
 public:
  // `where` begins every message: "injection.json: probes[2]". `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool Has(const char* name) const { return object_.is_object() && object_.contains(name); }
  // Refuses a value that is no object, and members with other names.
  Status Only(const std::vector<std::string>& names) const;
  Result<std::string> Text(const char* name) const;  // not empty
  Result<std::string> Text(const char* name, const std::string& otherwise) const;
  Result<std::vector<std::string>> Texts(const char* name) const;  // not empty, no empty text in it
  Result<bool> Bool(const char* name, bool otherwise) const;
  // Refuses a value that is not among the choices, naming the nearest.
  Status OneOf(const char* name, const std::string& value, const std::vector<std::string>& choices) const;

 private:
  const nlohmann::json* Find(const char* name) const;
  Error Wrong(const char* name, const char* expected) const;

  const nlohmann::json& object_;
  std::string where_;
};

}  // namespace genflow::guard
