// JSON text from files that are not trusted.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::formats {

struct JsonLimits {
  int max_depth = 32;
  bool unique_keys = false;  // refuse a key given twice in the outermost object
};

// `name` stands in messages. kCorrupt with line and column when the text is not JSON.
Result<nlohmann::json> ParseJson(std::string_view text, const std::string& name,
                                 const JsonLimits& limits = {});
Result<nlohmann::json> ReadJsonFile(const std::filesystem::path& path, const JsonLimits& limits = {});

// The text of a JSON value with Python's separators and two-space indent, as Hugging Face writes its files.
std::string PrettyJson(const nlohmann::ordered_json& value);

}  // namespace genflow::formats
